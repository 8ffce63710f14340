"""Nothing that is text becomes HTML."""

from vitquant.reports.page.markup import Markup, breakable, join, tag, text


def test_text_is_escaped_in_elements_and_attributes():
    made = tag("p", "<b>&", title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;</p>'


def test_what_is_markup_is_not_escaped_again():
    assert tag("p", tag("b", "x"), None, 3) == "<p><b>x</b>3</p>"
    assert join(tag("b"), "<") == tag("b") + "<" == "<b></b>&lt;"
    assert isinstance(tag("b") + "<", Markup)


def test_attributes():
    made = tag("a", class_="x", aria_label="y", hidden=True, open=False, id=None, width=0.5)
    assert made == '<a class="x" aria-label="y" hidden width="0.5"></a>'


def test_what_html_cannot_hold_is_shown_as_python_escapes_it():
    assert text("a\0b\udc80c\u202ed") == r"a\x00b\udc80c\u202ed"
    assert text("Ärzte 中\n") == "Ärzte 中\n"


def test_a_name_breaks_behind_its_dots():
    assert breakable("blocks.0.a<") == "blocks.<wbr>0.<wbr>a&lt;"
