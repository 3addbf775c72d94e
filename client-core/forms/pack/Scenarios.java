import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.javarosa.core.model.Constants;
import org.javarosa.core.model.FormIndex;
import org.javarosa.core.model.data.IAnswerData;
import org.javarosa.core.model.data.MultipleItemsData;
import org.javarosa.core.model.data.SelectOneData;
import org.javarosa.core.model.data.UncastData;
import org.javarosa.core.model.data.helper.Selection;
import org.javarosa.core.model.instance.TreeElement;
import org.javarosa.core.model.instance.TreeReference;
import org.javarosa.core.reference.PrefixedRootFactory;
import org.javarosa.core.reference.Reference;
import org.javarosa.core.reference.ReferenceManager;
import org.javarosa.core.services.IPropertyManager;
import org.javarosa.core.services.PropertyManager;
import org.javarosa.form.api.FormEntryController;
import org.javarosa.test.Scenario;

/**
 * Runs the scenarios of the pack in JavaRosa, the engine of ODK Collect, which stands in ODK Validate's jar. Started by the
 * script `scenarios`. Standard input: FORM file, SET path value, ADD path, CHOICES path, END, with tabs between. For each of
 * SET, ADD and CHOICES a line R; at END a line V path value for every relevant leaf that has a value, then END.
 */
public class Scenarios {
    private static Scenario scenario;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t", -1);
            switch (parts[0]) {
                case "FORM" -> scenario = open(new File(parts[1]));
                case "SET" -> OUT.println("R\t" + set(parts[1], parts[2]));
                case "ADD" -> OUT.println("R\t" + add(parts[1]));
                case "CHOICES" -> OUT.println("R\t" + scenario.choicesOf(parts[1]).stream().map(c -> c.getValue()).collect(Collectors.joining(" ")));
                default -> {
                    print(scenario.getFormDef().getMainInstance().getRoot(), "");
                    OUT.println("END");
                }
            }
        }
    }

    /** Opens a form with the lists that stand beside it. */
    private static Scenario open(File form) throws Exception {
        ReferenceManager.instance().reset();
        ReferenceManager.instance().addReferenceFactory(new PrefixedRootFactory(new String[] {"file-csv"}) {
            @Override
            protected Reference factory(String terminal, String uri) {
                return new Reference() {
                    public String getLocalURI() { return new File(form.getParentFile(), terminal.replaceAll("^/+", "")).getPath(); }
                    public String getURI() { return uri; }
                    public boolean doesBinaryExist() { return new File(getLocalURI()).exists(); }
                    public InputStream getStream() throws IOException { return new FileInputStream(getLocalURI()); }
                    public boolean isReadOnly() { return true; }
                    public OutputStream getOutputStream() { throw new UnsupportedOperationException(); }
                    public void remove() { throw new UnsupportedOperationException(); }
                    public Reference[] probeAlternativeReferences() { return new Reference[0]; }
                };
            }
        });
        // a phone's own properties: none are known here
        PropertyManager.setPropertyManager((IPropertyManager) Proxy.newProxyInstance(Scenarios.class.getClassLoader(), new Class<?>[] {IPropertyManager.class},
            (proxy, method, arguments) -> method.getName().equals("getSingularProperty") ? "" : null));
        return Scenario.init(form);
    }

    /** Goes through the form to where another instance of the repeat is offered, and takes it. */
    private static String add(String path) {
        FormEntryController controller = scenario.getFormEntryController();
        controller.jumpToIndex(FormIndex.createBeginningOfFormIndex());
        for (int event = 0; event != FormEntryController.EVENT_END_OF_FORM; event = controller.stepToNextEvent()) {
            FormIndex index = controller.getModel().getFormIndex();
            if (event == FormEntryController.EVENT_PROMPT_NEW_REPEAT && index.getReference().toString(false).equals(path)) {
                controller.newRepeat();
                return "ok";
            }
        }
        return "no such repeat";
    }

    private static String set(String path, String value) {
        FormIndex index;
        try {
            index = scenario.indexOf(path);
        } catch (RuntimeException e) {
            index = null;
        }
        if (index == null) {
            return "not asked";
        }
        FormEntryController controller = scenario.getFormEntryController();
        controller.jumpToIndex(index);
        int result = controller.answerQuestion(index, data(index, value), true);
        return switch (result) {
            case FormEntryController.ANSWER_OK -> "ok";
            case FormEntryController.ANSWER_CONSTRAINT_VIOLATED -> "constraint";
            case FormEntryController.ANSWER_REQUIRED_BUT_EMPTY -> "required";
            default -> "result " + result;
        };
    }

    private static IAnswerData data(FormIndex index, String value) {
        if (value.isEmpty()) {
            return null;
        }
        var prompt = scenario.getFormEntryPromptAtIndex();
        if (prompt.getControlType() == Constants.CONTROL_SELECT_ONE) {
            return new SelectOneData(new Selection(value));
        }
        if (prompt.getControlType() == Constants.CONTROL_SELECT_MULTI) {
            List<Selection> chosen = new ArrayList<>();
            Arrays.stream(value.split(" ")).forEach(v -> chosen.add(new Selection(v)));
            return new MultipleItemsData(chosen);
        }
        IAnswerData template = org.javarosa.core.model.data.AnswerDataFactory.templateByDataType(prompt.getDataType());
        return template.cast(new UncastData(value));
    }

    private static void print(TreeElement node, String above) {
        if (node.getMult() == TreeReference.INDEX_TEMPLATE || !node.isRelevant()) {
            return;
        }
        String path = above + "/" + node.getName() + (node.isRepeatable() ? "[" + (node.getMult() + 1) + "]" : "");
        if (node.getNumChildren() == 0) {
            if (node.getValue() != null) {
                OUT.println("V\t" + path + "\t" + node.getValue().uncast().getString().replaceAll("\\s+", " "));
            }
            return;
        }
        for (int i = 0; i < node.getNumChildren(); i++) {
            print(node.getChildAt(i), path);
        }
    }
}
