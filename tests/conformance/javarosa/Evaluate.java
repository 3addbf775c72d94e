import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.javarosa.core.model.FormDef;
import org.javarosa.core.model.condition.EvaluationContext;
import org.javarosa.core.model.instance.InstanceInitializationFactory;
import org.javarosa.core.model.instance.TreeReference;
import org.javarosa.core.services.PropertyManager;
import org.javarosa.core.services.properties.JavaRosaPropertyRules;
import org.javarosa.model.xform.XFormsModule;
import org.javarosa.core.util.JavaRosaCoreModule;
import org.javarosa.xform.util.XFormUtils;
import org.javarosa.xpath.XPathParseTool;
import org.javarosa.xpath.expr.XPathExpression;
import org.javarosa.xpath.expr.XPathFuncExpr;

/**
 * Evaluates expressions with JavaRosa. Each line of standard input has four fields in base64, separated by spaces: id,
 * form (XForm), expression, and the asking field's path with indexes from 0 ("data member:1 note"). Answers: id and either
 * "ok" and text, number, truth value, or "err" and the message, in base64 too.
 */
public class Evaluate {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true, "UTF-8"));
        new XFormsModule().registerModule();
        new JavaRosaCoreModule().registerModule();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] fields = line.split(" ", -1);
            String answer;
            try {
                answer = evaluate(text(fields[1]), text(fields[2]), text(fields[3]));
            } catch (Throwable error) {
                answer = "err " + code(error.getClass().getSimpleName() + ": " + error.getMessage());
            }
            out.println(fields[0] + " " + answer);
        }
    }

    static String evaluate(String form, String expression, String self) throws Exception {
        FormDef def = XFormUtils.getFormFromInputStream(new ByteArrayInputStream(form.getBytes(StandardCharsets.UTF_8)));
        def.initialize(false, new InstanceInitializationFactory());
        TreeReference ref = TreeReference.rootRef();
        for (String step : self.split(" ")) {
            String[] parts = step.split(":");
            ref.add(parts[0], parts.length > 1 ? Integer.parseInt(parts[1]) : 0);
        }
        EvaluationContext context = new EvaluationContext(def.getEvaluationContext(), ref);
        context.setOriginalContext(ref);
        XPathExpression parsed = XPathParseTool.parseXPath(expression);
        Object value = XPathFuncExpr.unpack(parsed.eval(def.getMainInstance(), context));
        return "ok " + code(XPathFuncExpr.toString(value)) + " " + code(String.valueOf(XPathFuncExpr.toNumeric(value)))
            + " " + XPathFuncExpr.toBoolean(value);
    }

    static String text(String field) {
        return new String(Base64.getDecoder().decode(field), StandardCharsets.UTF_8);
    }

    static String code(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
