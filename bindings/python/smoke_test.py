"""Smoke test of the Python bindings: two phones of the real core against a real server.

DOORSTEP_BIN names the server's binary; `bindings/python/run` builds it.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "generated"))

from doorstep import (  # noqa: E402
    Answer,
    LineKind,
    Phone,
    PhoneError,
    SyncCancel,
    SyncProgress,
    core_version,
    free_space_in,
    storage_full_advice,
)

SERVER = os.environ["DOORSTEP_BIN"]


# A township's own form, with a list that is attached to it.
WELLS = """survey,,,,,
,type,name,label::English (en),label::中文 (zh),relevant,constraint,required
,select_one_from_file hamlets.csv,hamlet,Which hamlet?,哪个寨子？,,,yes
,integer,wells,How many wells?,有几口井？,,. <= 20,
,begin repeat,well,Well,水井,${wells} > 0,,
,text,name,Name of the well,井名,,,
,end repeat,,,,,,
settings,,,,,
,form_id,form_title,default_language,,
,wells,Wells,English (en),,
"""
# A form about several households.
MEETING = """survey,,,
,type,name,label
,text,topic,Topic
settings,,,
,form_id,form_title,doorstep::subject
,meeting,Meeting,several
"""
HAMLETS = "name,label\nupper,Upper hamlet\nlower,Lower hamlet\n"


class Heard(SyncProgress):
    """Keeps the reports of a sync."""

    def __init__(self):
        self.reports = []

    def progressed(self, report):
        self.reports.append(report)


def sync(phone):
    return phone.sync(Heard(), SyncCancel())


def fill(phone, draft, **answers):
    for key, text in answers.items():
        phone.answer_text(draft, key, text)


class Offline(unittest.TestCase):
    """A phone that no server knows yet."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.phone = Phone.open(folder.name)
        self.addCleanup(self.phone.close_store)

    def test_the_library_tells_its_version(self):
        self.assertRegex(core_version(), r"^\d+\.\d+\.\d+$")

    def test_errors_say_what_the_app_can_do(self):
        with self.assertRaises(PhoneError.NotEnrolled):
            sync(self.phone)
        with self.assertRaises(PhoneError.TryLater):
            self.phone.enrol("http://127.0.0.1:9", "A")
        with self.assertRaises(PhoneError.NotAccepted):
            self.phone.start("no_such_form", None)
        with self.assertRaises(PhoneError.NotAccepted):
            self.phone.answer(self.phone.start("household", None), "no_such_question", Answer.TEXT("1"))

    def test_a_form_is_filled_page_by_page_and_goes_on_after_the_phone_was_closed(self):
        self.assertIn("household", [form.name for form in self.phone.forms("zh")])
        filling = self.phone.fill(self.phone.start("household", None), 480, "", None)
        page = filling.page()
        self.assertTrue(page.is_first and page.lines)
        question = next(line for line in page.lines if line.kind == LineKind.QUESTION and line.question == "text")
        self.assertIsNone(filling.answer(question.path, "王秀英"))
        self.phone.close_store()
        with self.assertRaises(PhoneError.Closed):
            filling.page()
        self.phone.reopen_store()
        self.assertTrue(filling.go_to(question.path))
        values = {line.path: line.value for line in filling.page().lines}
        self.assertEqual(values[question.path], "王秀英")
        self.assertTrue(filling.undo())
        self.assertGreater(filling.progress().questions, 1)
        self.assertEqual(len(self.phone.drafts()), 1)
        filling.discard()
        self.assertEqual(self.phone.drafts(), [])

    def test_a_closed_phone_refuses_until_it_is_reopened_and_keeps_its_drafts(self):
        draft = self.phone.start("household", None)
        self.phone.answer(draft, "head_name", Answer.TEXT("王秀英"))
        self.phone.close_store()
        with self.assertRaises(PhoneError.Closed):
            self.phone.undo(draft)
        self.phone.reopen_store()
        self.assertEqual(self.phone.undo(draft), "head_name")
        self.assertEqual(self.phone.notices(), [])


class TwoPhones(unittest.TestCase):
    """Two phones and a server."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        data = ["--data", str(self.folder / "server")]
        self.command("township", *data, "--name", "龙潭镇", "--village", "青山村")
        codes = [self.command("invite", *data, "--name", name).split()[-1] for name in ("甲", "乙")]
        server = subprocess.Popen(
            [SERVER, "serve", *data, "--listen", "127.0.0.1:0", "--open-office"], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        url = next(line.split()[-1] for line in server.stdout if "listens on" in line)
        self.phones = [self.phone(i, url, code) for i, code in enumerate(codes)]

    def command(self, *arguments):
        return subprocess.run([SERVER, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout

    def phone(self, number, url, code):
        phone = Phone.open(str(self.folder / f"phone{number}"))
        self.addCleanup(phone.close_store)
        self.assertEqual(phone.enrol(url, code), ("甲", "乙")[number])
        sync(phone)
        return phone

    def add_household(self, phone):
        village = next(area for area in phone.areas() if area.level == "village")
        draft = phone.start("household", None)
        fill(phone, draft, head_name="王秀英", household_no="H-001", village=village.name_zh)
        return phone.finish(draft, village.id)

    def test_a_household_made_offline_arrives_on_the_other_phone(self):
        first, second = self.phones
        household = self.add_household(first)
        cost, heard = first.cost(False), Heard()
        report = first.sync(heard, SyncCancel())
        self.assertGreater(cost.changes_up, 0)
        self.assertEqual(report.changes_acknowledged, cost.changes_up)
        self.assertEqual(report.refused, {})
        self.assertEqual(heard.reports[-1].changes_acknowledged, report.changes_acknowledged)
        sync(second)
        rows = second.households(None, "王秀英", 0, 10)
        self.assertEqual([row.id for row in rows], [household])
        self.assertIn("H-001", second.record_json(household))
        self.assertEqual(second.refused(), [])
        self.assertIsNone(report.upload_refused)
        self.assertIsNone(first.refused_upload())

    def publish(self, text):
        workbook = self.folder / "form.csv"
        workbook.write_text(text, encoding="utf-8")
        (self.folder / "hamlets.csv").write_text(HAMLETS, encoding="utf-8")
        self.command("form", "publish", "--data", str(self.folder / "server"), str(workbook))

    def test_a_published_form_with_its_list_is_filled_by_its_pages_and_arrives(self):
        first, second = self.phones
        self.publish(WELLS)
        sync(first)
        wells = next(form for form in first.forms("zh") if form.name == "wells")
        self.assertEqual(wells.languages, ["English (en)", "中文 (zh)"])
        filling = first.fill(first.start("wells", None), 480, "中文 (zh)", None)
        (line,) = filling.page().lines
        self.assertEqual((line.label, line.question, line.required), ("哪个寨子？", "select_one", True))
        self.assertEqual([choice.name for choice in line.choices], ["upper", "lower"])
        self.assertEqual([problem.path for problem in filling.problems()], [line.path])
        with self.assertRaises(PhoneError.NotAccepted):
            filling.finish(None)
        self.assertIn("不在选项中", filling.answer(line.path, "nowhere"))
        self.assertIsNone(filling.answer(line.path, "lower"))
        self.assertTrue(filling.next())
        (line,) = filling.page().lines
        self.assertIsNotNone(filling.answer(line.path, "21"))
        self.assertIsNone(filling.answer(line.path, "2"))
        filling.set_language("English (en)")
        self.assertTrue(filling.next())
        (line,) = filling.page().lines
        self.assertEqual(line.label, "Name of the well")
        self.assertIsNone(filling.answer(line.path, "老井"))
        self.assertIsNone(filling.add_instance("/data/well"))
        (line,) = filling.page().lines
        self.assertEqual(line.path, "/data/well[2]/name")
        self.assertIsNone(filling.answer(line.path, "新井"))
        filling.share(None)
        self.assertIsNone(filling.remove_instance("/data/well[2]"))
        self.assertEqual(filling.problems(), [])
        record = filling.finish(None)
        self.assertGreater(sync(first).changes_acknowledged, 1)
        sync(second)
        self.assertIn("老井", second.record_json(record))
        # the next round has these answers ready
        again = second.fill(second.start("wells", None), 480, "", record)
        (line,) = again.page().lines
        self.assertEqual(line.last_answer, "lower")
        self.assertEqual(again.no_change("/data/hamlet"), 1)
        self.assertEqual(again.page().lines[0].value, "lower")
        self.assertFalse(again.previous())

    def test_a_meeting_with_two_households_is_about_both_on_the_other_phone(self):
        first, second = self.phones
        self.publish(MEETING)
        sync(first)
        households = [self.add_household(first) for _ in range(2)]
        with self.assertRaises(PhoneError.NotAccepted):
            first.start_about("visit", households)
        filling = first.fill(first.start_about("meeting", households), 480, "", None)
        self.assertIsNone(filling.answer("/data/topic", "water"))
        record = filling.finish(None)
        sync(first)
        sync(second)
        self.assertEqual(second.subjects(record), households)

    def test_two_answers_for_one_question_stand_on_both_phones_until_one_decides(self):
        first, second = self.phones
        household = self.add_household(first)
        sync(first)
        sync(second)
        for phone, name in zip(self.phones, ("王秀英一", "王秀英二")):
            draft = phone.edit(household)
            phone.answer(draft, "head_name", Answer.TEXT(name))
            phone.finish(draft, None)
        for phone in (first, second, first):
            sync(phone)
        for phone in self.phones:
            (difference,) = phone.differences(household)
            self.assertEqual(difference.key, "head_name")
            self.assertEqual(
                sorted(value.value.value for value in difference.values), ["王秀英一", "王秀英二"]
            )
        first.resolve(household, "head_name", Answer.TEXT("王秀英一"))
        sync(first)
        sync(second)
        self.assertEqual(second.differences(household), [])
        self.assertIn("王秀英一", second.record_json(household))

    def test_the_reserve_can_be_given_back_to_a_full_disk(self):
        first, second = self.phones
        self.assertTrue(first.free_space())
        self.assertFalse(first.free_space())
        self.assertTrue(free_space_in(str(self.folder / "phone1")))
        self.assertIn("腾出空间", storage_full_advice("zh"))
        self.assertIn("free space", storage_full_advice("en"))
        self.add_household(first)
        self.assertGreater(sync(first).changes_acknowledged, 0)

    def test_a_cancelled_sync_keeps_what_waits(self):
        first, _ = self.phones
        self.add_household(first)
        cancel = SyncCancel()
        cancel.cancel()
        with self.assertRaises(PhoneError.Cancelled):
            first.sync(Heard(), cancel)
        self.assertGreater(sync(first).changes_acknowledged, 0)


if __name__ == "__main__":
    unittest.main()
