package doorstep

import java.nio.file.Path
import kotlin.io.path.absolutePathString
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import uniffi.doorstep.Answer
import uniffi.doorstep.LineKind
import uniffi.doorstep.Phone
import uniffi.doorstep.PhoneException
import uniffi.doorstep.SyncCancel
import uniffi.doorstep.SyncProgress
import uniffi.doorstep.SyncReport
import uniffi.doorstep.coreVersion

/** Smoke test of the Kotlin bindings on the JVM: phones of the real core against a real server. */
class SmokeTest {
    @TempDir
    lateinit var folder: Path

    private val server = System.getenv("DOORSTEP_BIN")
    private var running: Process? = null

    @AfterEach
    fun stop() {
        running?.destroy()
        running?.waitFor()
    }

    private class Heard : SyncProgress {
        val reports = mutableListOf<SyncReport>()

        override fun progressed(report: SyncReport) {
            reports += report
        }
    }

    private fun open(name: String) = Phone.open(folder.resolve(name).absolutePathString())

    private fun sync(phone: Phone) = phone.sync(Heard(), SyncCancel())

    private fun start(vararg arguments: String) =
        ProcessBuilder(server, *arguments).redirectError(ProcessBuilder.Redirect.INHERIT).start()

    private fun command(vararg arguments: String): String {
        val process = start(*arguments)
        val output = process.inputStream.bufferedReader().readText()
        assertEquals(0, process.waitFor())
        return output
    }

    /** Starts a server with one township and gives two enrolled phones. */
    private fun twoPhones(): List<Phone> {
        val data = arrayOf("--data", folder.resolve("server").absolutePathString())
        command("township", *data, "--name", "龙潭镇", "--village", "青山村")
        val codes = listOf("甲", "乙").map { command("invite", *data, "--name", it).trim().split(Regex("\\s+")).last() }
        val process = start("serve", *data, "--listen", "127.0.0.1:0", "--open-office")
        running = process
        val ready = process.inputStream.bufferedReader().lineSequence().first { "listens on" in it }
        val url = ready.trim().split(" ").last()
        return codes.mapIndexed { i, code ->
            open("phone$i").also {
                it.enrol(url, code)
                sync(it)
            }
        }
    }

    private fun addHousehold(phone: Phone): String {
        val village = phone.areas().first { it.level == "village" }
        val draft = phone.start("household", null)
        phone.answer(draft, "head_name", Answer.Text("王秀英"))
        phone.answerText(draft, "village", village.nameZh)
        return phone.finish(draft, village.id)
    }

    @Test
    fun `the library tells its version`() {
        assertTrue(Regex("""\d+\.\d+\.\d+""").matches(coreVersion()))
    }

    @Test
    fun `errors say what the app can do`() {
        val phone = open("alone")
        assertThrows(PhoneException.NotEnrolled::class.java) { sync(phone) }
        assertThrows(PhoneException.TryLater::class.java) { phone.enrol("http://127.0.0.1:9", "A") }
        assertThrows(PhoneException.NotAccepted::class.java) { phone.start("no_such_form", null) }
        phone.closeStore()
        assertThrows(PhoneException.Closed::class.java) { phone.areas() }
        phone.reopenStore()
        assertEquals(emptyList<String>(), phone.notices())
    }

    @Test
    fun `a household made offline arrives on the other phone`() {
        val (first, second) = twoPhones()
        val household = addHousehold(first)
        val heard = Heard()
        val report = first.sync(heard, SyncCancel())
        assertTrue(report.changesAcknowledged > 0u)
        assertEquals(report.changesAcknowledged, heard.reports.last().changesAcknowledged)
        sync(second)
        assertEquals(listOf(household), second.households(null, "王秀英", 0u, 10u).map { it.id })
    }

    @Test
    fun `a form is filled by its pages and goes on after the phone was closed`() {
        val phone = open("alone")
        assertTrue(phone.forms("zh").any { it.name == "household" })
        phone.fill(phone.start("household", null), 480, "", null).use { filling ->
            val question = filling.page()!!.lines.first { it.kind == LineKind.QUESTION && it.question == "text" }
            assertNull(filling.answer(question.path, "王秀英"))
            phone.closeStore()
            assertThrows(PhoneException.Closed::class.java) { filling.page() }
            phone.reopenStore()
            assertTrue(filling.goTo(question.path))
            assertEquals("王秀英", filling.page()!!.lines.first { it.path == question.path }.value)
            assertTrue(filling.undo())
            assertThrows(PhoneException.NotAccepted::class.java) { filling.finish(null) }
            filling.discard()
        }
        assertEquals(0, phone.drafts().size)
    }

    @Test
    fun `two answers for one question stand until one decides`() {
        val (first, second) = twoPhones()
        val household = addHousehold(first)
        listOf(first, second).forEach(::sync)
        for ((phone, name) in listOf(first to "王秀英一", second to "王秀英二")) {
            val draft = phone.edit(household)
            phone.answer(draft, "head_name", Answer.Text(name))
            phone.finish(draft, null)
        }
        listOf(first, second, first).forEach(::sync)
        for (phone in listOf(first, second)) {
            val values = phone.differences(household).single().values.map { it.value }
            assertEquals(setOf<Answer>(Answer.Text("王秀英一"), Answer.Text("王秀英二")), values.toSet())
        }
        first.resolve(household, "head_name", Answer.Text("王秀英一"))
        listOf(first, second).forEach(::sync)
        assertTrue(second.differences(household).isEmpty())
    }
}
