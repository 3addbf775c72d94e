package doorstep

import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import uniffi.doorstep.coreVersion

/** Smoke test of the Kotlin bindings on the JVM: the generated classes against the real library. */
class SmokeTest {
    @Test
    fun `the library loads and tells its version`() {
        assertTrue(Regex("""\d+\.\d+\.\d+""").matches(coreVersion()))
    }
}
