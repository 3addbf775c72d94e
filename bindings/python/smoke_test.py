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
    Phone,
    PhoneError,
    SyncCancel,
    SyncProgress,
    core_version,
    free_space_in,
    storage_full_advice,
)

SERVER = os.environ["DOORSTEP_BIN"]


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
