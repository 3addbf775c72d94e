import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.javarosa.core.model.Constants;
import org.javarosa.core.model.FormIndex;
import org.javarosa.core.model.ItemsetBinding;
import org.javarosa.core.model.QuestionDef;
import org.javarosa.core.model.SelectChoice;
import org.javarosa.core.model.data.AnswerDataFactory;
import org.javarosa.core.model.data.IAnswerData;
import org.javarosa.core.model.data.MultipleItemsData;
import org.javarosa.core.model.data.SelectOneData;
import org.javarosa.core.model.data.UncastData;
import org.javarosa.core.model.data.helper.Selection;
import org.javarosa.core.model.instance.TreeElement;
import org.javarosa.core.model.instance.TreeReference;
import org.javarosa.form.api.FormEntryController;
import org.javarosa.form.api.FormEntryModel;
import org.javarosa.test.Scenario;

/**
 * Runs scripts of `doorstep form replay` in JavaRosa. Each line of standard input is a script whose form is an XForm; each
 * answer is a line as `doorstep form replay` gives it. Before each step the form is gone through, as a person would: there
 * repeats with a count get their instances. With the argument "visit" choices are asked for on the way, as screens do:
 * JavaRosa then drops answers that a filter doesn't offer any more.
 */
public class Replay {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final FormEntryController controller;
    private final FormEntryModel model;
    private final Scenario scenario;
    private final boolean visit;

    Replay(Scenario scenario, boolean visit) {
        this.scenario = scenario;
        this.visit = visit;
        this.controller = scenario.getFormEntryController();
        this.model = controller.getModel();
    }

    public static void main(String[] arguments) throws Exception {
        boolean visit = arguments.length > 0 && arguments[0].equals("visit");
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode script = JSON.readTree(line);
            ObjectNode answer = JSON.createObjectNode();
            answer.set("form", script.get("form"));
            answer.set("seed", script.get("seed"));
            try {
                Scenario scenario = Scenario.init(new File(script.get("form").asText()));
                new Replay(scenario, visit).run(script.get("steps"), answer);
            } catch (Throwable error) {
                answer.put("err", String.valueOf(error));
            }
            out.println(JSON.writeValueAsString(answer));
        }
    }

    private void run(JsonNode steps, ObjectNode answer) {
        ArrayNode results = answer.putArray("results");
        ArrayNode choices = answer.putArray("choices");
        for (JsonNode step : steps) {
            goThrough(visit);
            String said;
            ArrayNode offered = null;
            try {
                if (step.has("add_repeat")) {
                    said = add(step.get("add_repeat").asText());
                } else {
                    FormIndex index = indexOf(step.get("set").asText());
                    if (index == null) {
                        said = "no_such_place";
                    } else {
                        offered = offered(index);
                        said = set(index, step.get("v").asText());
                    }
                }
            } catch (RuntimeException error) {
                said = "error " + error.getMessage();
            }
            results.add(said);
            choices.add(offered);
        }
        goThrough(visit);
        ArrayNode relevant = answer.putArray("relevant");
        collect(scenario.getFormDef().getMainInstance().getRoot(), "", relevant, answer.putObject("values"));
    }

    private void goThrough(boolean asking) {
        controller.jumpToIndex(FormIndex.createBeginningOfFormIndex());
        int event = controller.stepToNextEvent();
        for (; event != FormEntryController.EVENT_END_OF_FORM; event = controller.stepToNextEvent()) {
            if (asking && event == FormEntryController.EVENT_QUESTION) {
                model.getQuestionPrompt().getAnswerValue();
            }
        }
    }

    private FormIndex indexOf(String path) {
        List<TreeReference> found = scenario.getEvaluationContext().expandReference(Scenario.getRef(path));
        if (found.size() != 1) {
            return null;
        }
        TreeReference wanted = found.get(0);
        for (FormIndex at = model.incrementIndex(FormIndex.createBeginningOfFormIndex()); at.isInForm(); at = model.incrementIndex(at)) {
            if (at.getReference().equals(wanted) && model.getEvent(at) == FormEntryController.EVENT_QUESTION) {
                return at;
            }
        }
        return null;
    }

    /** Adds an instance where another one of the repeat could be offered. */
    private String add(String path) {
        for (FormIndex at = model.incrementIndex(FormIndex.createBeginningOfFormIndex()); at.isInForm(); at = model.incrementIndex(at)) {
            if (model.getEvent(at) == FormEntryController.EVENT_PROMPT_NEW_REPEAT && sameRepeat(at.getReference(), Scenario.getRef(path))) {
                controller.newRepeat(at);
                return null;
            }
        }
        return "no_such_place";
    }

    private static boolean sameRepeat(TreeReference at, TreeReference wanted) {
        if (at.size() != wanted.size()) {
            return false;
        }
        for (int i = 0; i < at.size(); i++) {
            int mult = Math.max(0, wanted.getMultiplicity(i));
            if (!at.getName(i).equals(wanted.getName(i)) || i + 1 < at.size() && at.getMultiplicity(i) != mult) {
                return false;
            }
        }
        return true;
    }

    private ArrayNode offered(FormIndex index) {
        ItemsetBinding itemset = ((QuestionDef) scenario.getFormDef().getChild(index)).getDynamicChoices();
        if (itemset == null || !itemset.nodesetRef.hasPredicates()) {
            return null;
        }
        ArrayNode names = JSON.createArrayNode();
        for (SelectChoice choice : model.getQuestionPrompt(index).getSelectChoices()) {
            names.add(choice.getValue());
        }
        return names;
    }

    private String set(FormIndex index, String value) {
        controller.jumpToIndex(index);
        return switch (controller.answerQuestion(index, data(index, value), true)) {
            case FormEntryController.ANSWER_OK -> "ok";
            case FormEntryController.ANSWER_CONSTRAINT_VIOLATED -> "constraint";
            case FormEntryController.ANSWER_REQUIRED_BUT_EMPTY -> "required";
            default -> "result";
        };
    }

    private IAnswerData data(FormIndex index, String value) {
        if (value.isEmpty()) {
            return null;
        }
        var prompt = model.getQuestionPrompt(index);
        switch (prompt.getControlType()) {
            case Constants.CONTROL_SELECT_ONE:
                return new SelectOneData(new Selection(value));
            case Constants.CONTROL_SELECT_MULTI:
            case Constants.CONTROL_RANK:
                List<Selection> chosen = new ArrayList<>();
                for (String name : value.split(" ")) {
                    chosen.add(new Selection(name));
                }
                return new MultipleItemsData(chosen);
            default:
                return AnswerDataFactory.templateByDataType(prompt.getDataType()).cast(new UncastData(value));
        }
    }

    private static void collect(TreeElement node, String above, ArrayNode relevant, ObjectNode values) {
        if (node.getMult() == TreeReference.INDEX_TEMPLATE || !node.isRelevant()) {
            return;
        }
        String path = above + "/" + node.getName() + (node.isRepeatable() ? "[" + (node.getMult() + 1) + "]" : "");
        if (node.getNumChildren() > 0 || node.isRepeatable()) {
            for (int i = 0; i < node.getNumChildren(); i++) {
                collect(node.getChildAt(i), path, relevant, values);
            }
            return;
        }
        if (path.contains("/meta/")) {
            return;
        }
        relevant.add(path);
        if (node.getValue() != null) {
            values.put(path, node.getValue().uncast().getString());
        }
    }
}
