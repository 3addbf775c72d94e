"""The pages in Chromium, at 360 and 1280 pixels: what a helper's phone and an office's screen show.

Usage: pages.py PROGRAM, where PROGRAM is the example `pages` of the server: it fills a small township through the real
service and prints its addresses. Pictures of every page stay in a folder outside the repository, whose path is printed.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

from webdriver import Browser

WIDTHS = (360, 1280)


def at_every_width(name):
    """Runs a test once a width, from the first page in Chinese; its pictures are named so."""

    def decorate(test):
        @functools.wraps(test)
        def every(self):
            for width in WIDTHS:
                with self.subTest(width=width):
                    self.name = "%s-%d" % (name, width)
                    self.browser.width(width)
                    self.browser.go(self.address + "/?lang=zh")
                    self.browser.complaints()  # what an earlier failure left
                    test(self, self.browser)

        return every

    return decorate


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pictures = os.environ.get("DOORSTEP_PICTURES") or tempfile.mkdtemp(prefix="doorstep-pictures-")
        os.makedirs(cls.pictures, exist_ok=True)
        print("pictures in", cls.pictures)
        cls.data = tempfile.TemporaryDirectory(prefix="doorstep-pages-")
        cls.server = subprocess.Popen(
            [PROGRAM, cls.data.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(cls.stop)
        cls.address = cls.server.stdout.readline().strip()
        cls.locked_address = cls.server.stdout.readline().strip()
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def stop(cls):
        cls.server.stdin.close()  # its sign to end
        cls.server.wait()
        cls.server.stdout.close()
        cls.data.cleanup()

    def looks_right(self, name=None):
        """No sideways scrolling, nothing refused by the browser; keeps a picture."""
        if name:
            self.browser.screenshot(os.path.join(self.pictures, "%s-%s.png" % (self.name, name)))
        page = self.browser.url()
        wide = self.browser.run(
            "const e = document.scrollingElement; return e.scrollWidth > innerWidth ? [e.scrollWidth, innerWidth] : null"
        )
        self.assertIsNone(wide, "%s scrolls sideways" % page)
        self.assertEqual(self.browser.complaints(), [], page)
        self.assertNotIn("text missing", self.browser.text())

    @at_every_width("way")
    def test_a_figure_leads_to_its_list_and_on_to_what_people_answered(self, browser):
        self.assertIn("70户247人", browser.text())
        self.assertIn("石桥村", browser.text())
        self.looks_right("1-overview")

        browser.follow(browser.link("70户247人"))
        self.assertIn("70户247人", browser.text())
        self.assertIn("王大山", browser.text())
        self.looks_right("2-households")
        self.assertEqual(browser.run("return document.querySelectorAll('tbody tr').length"), 50)
        browser.follow(browser.link("下一页"))
        self.assertEqual(browser.run("return document.querySelectorAll('tbody tr').length"), 20)
        self.looks_right()

        browser.go(self.address + "/households")
        browser.follow(browser.link("王大山"))
        text = browser.text()
        differences = text.split("基本情况")[0]
        for said in ("户类别", "边缘户", "脱贫监测户", "孙丽", "马晓东", "填写时间(手机)", "收到时间"):
            self.assertIn(said, differences)
        for said in ("王秀英：文化程度", "小学", "文盲或半文盲", "刘志远"):
            self.assertIn(said, differences)
        self.assertIn("修改记录", text)
        self.assertIn("<script>alert(1)</script>", text)
        self.assertIn("已移出", text)
        self.assertIn("已隐藏", text)
        self.assertNotIn("999999195001100013", browser.run("return document.documentElement.outerHTML"))
        self.looks_right("3-record")

    def test_the_figures_of_the_overview_are_the_lengths_of_their_lists(self):
        browser = self.browser
        browser.width(1280)
        browser.go(self.address + "/?lang=zh")
        links = browser.run(
            "return [...document.querySelectorAll('td a')].map(a => [a.innerText, a.href])"
            ".filter(([t, h]) => h.includes('area=') && /^[0-9]/.test(t))"
        )
        self.assertGreater(len(links), 10)
        for figure, href in links:
            count = int(figure.split("户")[0])
            shown = 0
            while href:
                browser.go(href)
                shown += browser.run("return document.querySelectorAll('tbody tr').length")
                href = browser.run("const a = document.querySelector('.pages a[href*=after]'); return a && a.href")
            self.assertEqual(shown, count, "%s of %s" % (figure, browser.url()))

    @at_every_width("search")
    def test_search_finds_a_name_and_keeps_it_out_of_the_address(self, browser):
        browser.follow(browser.link("农户"))
        browser.type(browser.find("input[name=q]"), "王秀英")
        browser.follow(browser.find("form.filters button"))
        self.assertIn("王大山", browser.text())  # the household of which she is a member
        self.assertNotIn("李长顺", browser.text())
        self.assertEqual(browser.url(), self.address + "/households")
        self.looks_right("found")

        browser.type(browser.find("input[name=q]"), "没有这个人")
        browser.follow(browser.find("form.filters button"))
        self.assertIn("没有找到", browser.text())
        self.looks_right("none")

        browser.type(browser.find("input[name=q]"), "张桂芳")
        browser.follow(browser.find("form.filters button"))
        self.assertGreater(browser.run("return document.querySelectorAll('tbody tr').length"), 3)
        browser.type(browser.find("input[name=q]"), "")
        browser.follow(browser.find("form.filters button"))
        self.assertIn("70户247人", browser.text())

    @at_every_width("filters")
    def test_filters_narrow_the_list_and_stand_in_the_address(self, browser):
        browser.go(self.address + "/households")
        browser.run("document.querySelector('select[name=visited]').value = 'no'")
        browser.run("document.querySelector('select[name=status]').value = 'marginal'")
        browser.follow(browser.find("form.filters button"))
        self.assertIn("visited=no", browser.url())
        self.assertIn("status=marginal", browser.url())
        statuses = browser.run("return [...document.querySelectorAll('td:nth-child(4)')].map(e => e.innerText)")
        self.assertEqual(set(statuses), {"边缘户"})
        self.looks_right("narrowed")

    @at_every_width("english")
    def test_the_language_switch_stays_on_the_page_and_is_remembered(self, browser):
        browser.follow(browser.link("English"))
        self.assertIn("70\u00a0households, 247\u00a0persons", browser.text())
        self.assertEqual(browser.run("return document.documentElement.lang"), "en")
        self.looks_right("1-overview")
        browser.go(self.address + "/households")
        self.assertIn("Head of household", browser.text())
        self.looks_right("2-households")
        browser.follow(browser.link("王大山"))
        for said in ("Marginal household", "Received at", "History"):
            self.assertIn(said, browser.text())
        self.looks_right("3-record")
        for name in ("differences", "duplicates", "doubts", "phones", "quarantine", "audit", "visits"):
            browser.go(self.address + "/" + name)
            self.looks_right("4-" + name)
        browser.follow(browser.link("中文"))
        self.assertTrue(browser.url().startswith(self.address + "/visits"))
        self.assertIn("走访记录", browser.text())

    @at_every_width("other")
    def test_visits_phones_and_refused_entries_have_their_pages(self, browser):
        browser.go(self.address + "/differences")
        self.assertIn("王大山", browser.text())
        self.looks_right("differences")
        browser.follow(browser.find("a[href*='#differences']"))
        self.looks_right()

        browser.go(self.address + "/visits")
        self.assertIn("入户见面", browser.text())
        self.looks_right("visits")
        browser.go(self.address + "/differences")
        visit = browser.run(
            "return [...document.querySelectorAll('section.card')].find(r => r.innerText.includes('走访记录')).querySelector('a').href"
        )
        browser.go(visit)
        self.assertIn("谈一次心、梳理一遍帮扶措施", browser.text())
        self.looks_right("visit")

        browser.go(self.address + "/phones")
        for said in ("刘志远", "未同步手机", "已停用", "从未同步"):
            self.assertIn(said, browser.text())
        self.looks_right("phones")

        browser.go(self.address + "/quarantine")
        self.assertIn("这部手机没有绑定给这位填写人。", browser.text())
        self.looks_right("quarantine")

        browser.go(self.address + "/sign-in?wrong=1")
        self.assertIn("密钥不对", browser.text())
        self.looks_right("sign-in")

    @at_every_width("masked")
    def test_masked_answers_are_shown_for_a_reason_and_once(self, browser):
        browser.go(self.address + "/households")
        browser.follow(browser.link("王大山"))
        record = browser.url()
        browser.run("document.querySelector('select[name=why]').value = '核实身份'")
        browser.follow(browser.find("form[action$=masked] button"))
        self.assertIn("999999195001100013", browser.text())
        self.assertIn("核实身份", browser.text())
        self.looks_right("looked")
        browser.go(record)
        self.assertNotIn("999999195001100013", browser.run("return document.documentElement.outerHTML"))

        browser.go(self.address + "/audit")
        for said in ("查看隐藏内容", "核实身份", "乡镇办公人员"):
            self.assertIn(said, browser.text())
        browser.run("document.querySelector('select[name=kind]').value = 'masked_look'")
        browser.run("document.querySelector('select[name=who]').value = 'office'")
        browser.run("document.querySelector('input[name=day]').value = '2020-06-30'")
        browser.follow(browser.find("main form.filters button"))
        kinds = browser.run("return [...document.querySelectorAll('tbody th')].map(r => r.innerText)")
        self.assertTrue(kinds and set(kinds) == {"查看隐藏内容"}, kinds)
        browser.follow(browser.link("核对日志是否完整"))
        self.assertIn("日志完整", browser.text())
        self.assertIn("kind=masked_look", browser.url())
        self.looks_right("audit")
        browser.go(self.address + "/audit?day=2020-06-29")
        self.assertIn("没有符合条件的记录", browser.text())

        browser.go(self.address + "/quarantine")
        browser.run("document.querySelector('input[type=checkbox]').click()")
        browser.follow(browser.find("form[action$=release] button.main"))
        self.assertIn("请写明原因", browser.text())
        self.assertIn("400", " ".join(browser.complaints()))  # as it has to be
        self.looks_right("no-reason")

    def member_of(self, household):
        """A household's first member: the instance and the name."""
        with urllib.request.urlopen("%s/api/records/%s" % (self.address, household)) as answer:
            answers = json.load(answer)["merged"]["answers"]
        key = next(key for key in answers if key.startswith("member#") and key.endswith("/name"))
        return key[len("member#"):-len("/name")], answers[key]

    @at_every_width("member-link")
    def test_that_two_members_are_one_person_is_taken_back_on_the_page(self, browser):
        browser.go(self.address + "/households")
        links = browser.run("return [...document.querySelectorAll('tbody a')].map(a => a.href.split('/').pop())")
        first = WIDTHS.index(int(self.name.rsplit("-", 1)[1])) * 2
        households = list(dict.fromkeys(links))[10 + first : 12 + first]
        members = [self.member_of(household) for household in households]
        sides = [{"household": h, "member": m} for h, (m, _) in zip(households, members)]
        body = json.dumps({"sides": sides, "verdict": "same"}).encode()
        urllib.request.urlopen(
            urllib.request.Request(self.address + "/api/links", body, {"Content-Type": "application/json"})
        ).close()
        browser.go(self.address + "/duplicates")
        for _, name in members:
            self.assertIn(name, browser.text())
        self.assertIn("是同一人", browser.text())
        self.looks_right("decided")
        browser.follow(browser.find("form:has(input[name=member_a][value='%s']) button" % members[0][0]))
        self.assertEqual(browser.url(), self.address + "/duplicates")
        self.assertNotIn("是同一人\n撤销", browser.text())
        with urllib.request.urlopen(self.address + "/api/links") as answer:
            self.assertEqual([link for link in json.load(answer)["links"] if link["of_members"]], [])
        self.looks_right("taken-back")

    @at_every_width("doubts")
    def test_doubtful_data_are_listed_filtered_and_lead_to_their_records(self, browser):
        browser.go(self.address + "/")
        browser.follow(browser.link("数据存疑"))
        for said in ("住房等级", "不符合表单规定的条件", "答案不符合这一项的要求", "已隐藏"):
            self.assertIn(said, browser.text())
        self.assertNotIn("没有\n", browser.text(), "no answer stands here")
        self.looks_right("1-open")
        browser.run("document.querySelector('select[name=kind]').value = 'unfit'")
        browser.follow(browser.find("main button"))
        rows = browser.run("return [...document.querySelectorAll('tbody tr')].map(r => r.innerText)")
        self.assertEqual(len(rows), 1)
        self.assertIn("王大山", rows[0])
        self.looks_right("2-filtered")
        browser.follow(browser.find("tbody a"))
        self.assertIn("排查表", browser.text())
        browser.follow(browser.find("h1 a.tag"))
        self.assertIn("record=", browser.url())
        self.assertIn("住房等级", browser.text())
        self.looks_right("3-one-record")
        browser.go(self.address + "/doubts?state=closed")
        self.assertIn("已消除", browser.text())
        self.assertEqual(len(browser.run("return document.querySelectorAll('tbody tr')")), 1)
        self.looks_right("4-closed")
        browser.go(self.address + "/doubts?state=closed&kind=date")
        self.assertIn("没有已消除的存疑数据", browser.text())
        self.looks_right("5-empty")

    @at_every_width("sign-in")
    def test_whoever_has_the_key_signs_in_and_out(self, browser):
        browser.go(self.locked_address + "/households?lang=zh")
        self.assertEqual(browser.url(), self.locked_address + "/sign-in")
        browser.type(browser.find("input[name=key]"), "wrong")
        browser.follow(browser.find("main button"))
        self.assertIn("密钥不对", browser.text())
        browser.type(browser.find("input[name=key]"), "practice")
        browser.follow(browser.find("main button"))
        self.assertIn("70户247人", browser.text())
        self.looks_right("in")
        browser.follow(browser.find("form[action='/sign-out'] button"))
        browser.go(self.locked_address + "/households")
        self.assertEqual(browser.url(), self.locked_address + "/sign-in")
        self.looks_right()

    def test_a_sensitive_part_stays_hidden_on_its_own_page_too(self):
        browser = self.browser
        browser.go(self.address + "/households?lang=zh")
        core = browser.run("return document.querySelector('tbody a').href").rsplit("/", 1)[1]
        with urllib.request.urlopen("%s/api/records/%s" % (self.address, core)) as answer:
            parts = json.load(answer)["parts"]
        self.assertEqual([part["type"] for part in parts], ["household.sensitive"])
        browser.go("%s/households/%s" % (self.address, parts[0]["id"]))
        self.assertIn("已隐藏", browser.text())
        self.assertIn("王大山", browser.text())
        for secret in ("999999195001100013", "18000"):
            self.assertNotIn(secret, browser.run("return document.documentElement.outerHTML"))

    def test_a_form_of_another_site_is_refused(self):
        for header in ({"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            request = urllib.request.Request(self.address + "/households", b"q=a", header)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            with refused.exception as answer:
                self.assertEqual(answer.code, 403)
                self.assertIn("text/html", answer.headers["Content-Type"])

    def test_an_address_that_leads_nowhere_says_so_in_words(self):
        browser = self.browser
        for path in ("/households/00", "/households/" + "0" * 32, "/households?area=x"):
            browser.width(360)
            browser.go(self.address + path)
            self.assertIn("无法显示", browser.text())
            errors = [c for c in browser.complaints() if "status of 40" not in c]
            self.assertEqual(errors, [])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
