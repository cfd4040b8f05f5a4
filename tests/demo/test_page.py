"""The page in a real Chromium, used as a person would. ``MINIBERT_CHROMIUM`` names another browser than the system's."""

import base64
import json
import re
import shutil

import numpy as np
import pytest

from minibert.analysis import probes
from minibert.demo import export
from minibert.demo.views import Views
from minibert.demo.watch import Run
from minibert.training.loop import write_rows
from tests.demo.conftest import chromium

sync_api = pytest.importorskip("playwright.sync_api", reason='the browser tests need playwright: pip install -e ".[browser]"')
expect = sync_api.expect

SIZES = {"lecture hall": (1280, 720), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine; install it, or name one by MINIBERT_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser, demo):
    """``open_page(size, scheme)``: a page that may ask nobody but the server, and must not complain."""
    opened, wrong = [], []

    def open_(size="lecture hall", scheme="light", url=None, reduced=None):
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True,
                                      has_touch=size == "phone")
        page = context.new_page()
        page.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        allowed = (url or demo.url, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(allowed) else wrong.append(f"asked {request.url}"))
        page.goto(url or demo.url)
        opened.append(context)
        return page

    yield open_
    for context in opened:
        context.close()
    assert not wrong, wrong


def ready(page):
    """The page, when it has drawn everything that it asked for."""
    page.wait_for_selector("body[data-ready][data-asking='0']")
    return page


def ask(page, text, hide=()):
    """Type a sentence and hide words by clicking them; back when all is drawn."""
    field = page.get_by_role("textbox", name="Sentence", exact=True)
    field.fill(text)
    for word in hide:
        ready(page).locator("#sentences .token", has_text=re.compile(f"^{re.escape(word)}$")).first.click()
    ready(page)
    return field


def hold(page, path, text=""):
    """The list of requests to ``path`` with ``text`` in them: they wait there for ``continue_()``."""
    held = []
    page.route(path, lambda route: held.append(route) if text in (route.request.post_data or "") else route.continue_())
    return held


def waited_for(page, held):
    for _ in range(200):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page asked nothing")


def best(page, nth=0):
    return page.locator("#view figure").nth(nth).locator(".hidden-table th").first


def test_typing_shows_tokens_and_clicking_hides_them(open_page):
    page = ready(open_page())
    page.get_by_role("button", name="Unmask all").click()
    field = ask(page, "they are unaffable 🐍", ["are"])
    expect(page.locator(".token.masked")).to_have_text("[MASK]are")
    expect(page.locator(".token.continues").first).to_contain_text("##")
    expect(page.locator(".token.unknown")).to_have_text("[UNK]")
    expect(page.locator("#view figcaption h2")).to_contain_text("they")
    field.press("End")
    field.press_sequentially(" at all")
    expect(page.locator(".token.masked")).to_have_count(1)
    field.fill("now they are here")
    expect(page.locator(".token.masked")).to_have_count(0)
    page.get_by_role("button", name="Ids, segments, positions").click()
    expect(page.locator(".token small").first).to_contain_text("id ")


def test_hidden_words_stay_hidden_while_the_text_around_them_changes(open_page):
    page = ready(open_page())
    page.get_by_role("button", name="Unmask all").click()
    field = ask(page, "they are not supported.", ["not"])
    expect(page.locator(".token.masked")).to_have_text("[MASK]not")
    field.press("Home")
    field.press_sequentially("now ")
    expect(page.locator(".token.masked")).to_have_text("[MASK]not")
    expect(page.locator(".token.masked")).to_have_attribute("data-position", "4")


def test_dragging_hides_several_and_the_keyboard_does_it_too(open_page):
    page = ready(open_page())
    page.get_by_role("button", name="Unmask all").click()
    ask(page, "they are not supported.")
    expect(page.locator(".token")).to_have_text(["[CLS]", "they", "are", "not", "supported", ".", "[SEP]"])
    places = [page.locator(f'.token[data-position="{i}"]').bounding_box() for i in (1, 3)]
    page.mouse.move(places[0]["x"] + 5, places[0]["y"] + 10)
    page.mouse.down()
    page.mouse.move(places[1]["x"] + 5, places[1]["y"] + 10, steps=12)
    page.mouse.up()
    expect(page.locator(".token.masked")).to_have_count(3)
    expect(page.locator("#view figure")).to_have_count(3)
    page.locator('.token[data-position="1"]').focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator(".token.masked")).to_have_text("[MASK]not")


def test_guesses_and_a_minimal_pair(open_page):
    page = ready(open_page())
    page.locator("#examples").select_option(label="they are not supported. / it is not supported.")
    expect(page.locator("#view figure")).to_have_count(2)
    expect(best(page, 0)).to_have_text("are")
    expect(best(page, 1)).to_have_text("is")
    expect(page.locator("#view figure").first).to_contain_text(re.compile(r"Entropy 1\.\d\d nats.*rank 1, probability"))
    page.get_by_role("button", name="Compare two sentences").click()
    expect(page.locator("#view figure")).to_have_count(1)
    page.locator("#view summary").click()
    expect(page.locator("#view pre")).to_contain_text("inside.guesses(bert, question")


def test_a_second_text_has_its_own_segment(open_page):
    page = ready(open_page())
    page.get_by_role("button", name="Second text").click()
    page.get_by_role("textbox", name="Sentence: second text").fill("it is empty.")
    expect(page.locator(".token.second")).to_have_count(5)
    expect(page.locator("#view")).to_contain_text("The second text follows the first")


def test_layers(open_page):
    page = ready(open_page())
    ask(page, "they are not supported.", ["are"])
    page.get_by_role("tab", name="Layers").click()
    expect(page.locator("#view svg")).to_contain_text("embeddings")
    expect(page.locator("#view svg")).to_contain_text("rank 1, 5")


def test_attention_overview_arcs_matrix_and_scores(open_page):
    page = ready(open_page())
    ask(page, "they are not supported.")
    page.get_by_role("tab", name="Attention").click()
    page.get_by_role("button", name="layer 1, head 1", exact=True).click()
    expect(page.locator("#view")).to_contain_text("Layer 1, head 1: who looks at whom")
    page.get_by_label("Follow").select_option(label="3: not")
    expect(page.locator("#view")).to_contain_text("“not” through the layers")
    expect(page.locator("#view")).to_contain_text("Each score is a sum of 64 products")
    page.get_by_role("button", name="Matrix").click()
    cells = page.locator("#view figure", has_text="Layer 1, head 1").locator('rect[style*="crosshair"]').first
    box = cells.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 7, box["y"] + box["height"] * 3.5 / 7)
    expect(page.locator("#readout")).to_have_text(re.compile(r"^not looks at are: 0\.\d{3}$"))
    page.get_by_role("button", name="Hide [CLS] and [SEP]").click()
    expect(page.locator("#view figure", has_text="Layer 1, head 1").first).not_to_contain_text("[CLS]not")
    page.get_by_role("button", name="layer 1, head 1", exact=True).focus()
    page.keyboard.press("ArrowUp")
    strokes = page.locator("#view svg .ring").evaluate_all("some => some.slice(0, 4).map(ring => getComputedStyle(ring).stroke)")
    assert strokes.count(strokes[1]) == 1, "where the focus is can be seen"
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_contain_text("Layer 0, head 1")


def test_a_head_that_is_chosen_while_the_view_is_asked_for_anew_stays_chosen(open_page):
    page = ready(open_page())
    page.get_by_role("tab", name="Attention").click()
    expect(page.locator("#view")).to_contain_text("Layer 0, head 0")
    ready(page)
    held = hold(page, "**/api/attention", '"layer":0')
    page.get_by_role("button", name=re.compile("^Theme")).click()
    waited_for(page, held)
    page.get_by_role("button", name="layer 1, head 1", exact=True).click()
    expect(page.locator("#view")).to_contain_text("Layer 1, head 1")
    for route in held:
        route.continue_()
    ready(page)
    expect(page.locator("#view:not(.waiting)")).to_contain_text("Layer 1, head 1")


def test_switching_a_head_off_changes_the_guess_and_the_loss(open_page):
    page = ready(open_page())
    page.locator("#examples").select_option(label="return true if x is less than y.")
    page.get_by_role("tab", name="Heads").click()
    expect(page.locator("#change")).to_contain_text("now: no change")
    page.get_by_role("button", name=re.compile("^layer 1 head 1: on, gradient")).click()
    expect(page.locator("#view")).to_contain_text("1 of 4 heads off")
    expect(page.locator("#change")).to_contain_text(re.compile(r"now: \+[3-9]\.\d\d nats"))
    page.get_by_role("button", name="All on").click()
    expect(page.locator("#change")).to_contain_text("now: no change")


def test_attribution_is_complete_and_more_steps_make_it_more_so(open_page):
    page = ready(open_page())
    page.get_by_role("tab", name="Attribution").click()
    error = ready(page).locator("#completeness")
    before = float(error.inner_text())
    slider = page.get_by_role("slider", name="Steps of the integral")
    slider.focus()
    slider.press("End")
    expect(page.locator("#view")).to_contain_text("Steps of the integral: 128")
    assert float(error.inner_text()) < before < 0.01


def test_rollout_of_a_layer_and_of_a_token(open_page):
    page = ready(open_page())
    ask(page, "they are not supported.")
    page.get_by_role("tab", name="Rollout").click()
    expect(page.locator("#view")).to_contain_text("what each token is made of after layer 1")
    page.get_by_role("slider", name="After layer").press("Home")
    expect(page.locator("#view")).to_contain_text("what each token is made of after layer 0")
    page.get_by_label("Follow").select_option(label="3: not")
    expect(page.locator("#view")).to_contain_text("What “not” is made of, layer by layer")
    expect(page.locator("#view figure")).to_have_count(3)


def test_heads_are_pruned_by_a_slider(open_page):
    page = ready(open_page())
    page.locator("#examples").select_option(label="return true if x is less than y.")
    page.get_by_role("tab", name="Pruning").click()
    expect(page.locator("#view")).to_contain_text("With 0 of 4 heads off")
    before = ready(page).locator("#pruned").inner_text()
    slider = page.get_by_role("slider", name="Heads that are off")
    slider.press("End")
    expect(page.locator("#view")).to_contain_text("With 4 of 4 heads off")
    assert float(ready(page).locator("#pruned").inner_text().split()[0]) > float(before.split()[0]) + 1
    page.get_by_role("button", name="Unmask all").click()
    expect(page.locator("#view")).to_contain_text("Nothing is hidden yet")


@pytest.mark.parametrize("size", SIZES)
def test_a_teacher_and_a_student_side_by_side(open_page, two_demo, size, tmp_path):
    page = ready(open_page(size, url=two_demo.url))
    ask(page, "they are not supported.", ["not"])
    page.get_by_role("tab", name="Side by side").click()
    ready(page)
    expect(page.locator("#view figure")).to_have_count(2)
    expect(page.locator("#view figure").first).to_contain_text("the bundled model")
    expect(page.locator("#view figure").last).to_contain_text("student")
    expect(page.locator("#view .model").last).to_contain_text("1 layer,")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / "beside.png")


@pytest.mark.parametrize("size", SIZES)
def test_a_slider_shows_where_each_sentence_leaves(open_page, early_demo, size, tmp_path):
    page = ready(open_page(size, url=early_demo.url))
    page.get_by_role("tab", name="Early exit").click()
    left, slider = page.locator("#view .left strong:first-of-type"), page.get_by_role("slider", name="Speed")
    expect(left).to_have_count(1)
    ask(page, "a b c d")
    page.get_by_role("button", name="Compare two sentences").click()
    expect(left).to_have_count(2)
    slider.press("Home")
    expect(page.locator("#view")).to_contain_text("Speed: 0.00")
    assert left.all_inner_texts() == ["4", "4"]
    slider.press("End")
    expect(page.locator("#view")).to_contain_text("Speed: 1.00")
    assert left.all_inner_texts() == ["1", "1"]
    expect(page.locator("#view svg").first).to_contain_text("not computed")
    layers = early_demo.post("exits", text="a b c d")[1]["layers"]
    for percent in (25, 50, 75):
        slider.fill(str(percent))
        expect(page.locator("#view")).to_contain_text(f"Speed: 0.{percent}")
        first = next(one["layer"] for one in layers if one["layer"] == 4 or one["uncertainty"] <= percent / 100)
        assert left.all_inner_texts() == [str(first)] * 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / "exits.png")


@pytest.mark.parametrize("size", SIZES)
def test_a_generated_language_shows_its_truth_and_its_trees(open_page, world_demo, size, tmp_path):
    page = ready(open_page(size, url=world_demo.url))
    page.get_by_role("tab", name="Truth").click()
    expect(page.locator("#view")).to_contain_text("Model against truth")
    assert float(ready(page).locator("#distance").inner_text().split()[1]) > 1
    expect(page.locator("#view .hidden-table tr")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / "truth.png")
    ask(page, "she learns .")
    page.get_by_role("tab", name="Trees").click()
    expect(page.locator("#view")).to_contain_text("Choose a sentence of the list")
    page.get_by_role("combobox", name="Sentence", exact=True).select_option(index=1)
    expect(page.locator("#right")).to_have_text(re.compile(r"^\d+ of \d+$"))
    page.get_by_label("Vectors of").select_option(index=0)
    expect(page.locator("#right")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / "trees.png")


def test_neighbours(open_page):
    page = ready(open_page())
    ask(page, "they are not supported.")
    page.get_by_role("tab", name="Neighbours").click()
    page.locator("#view select").select_option(label="4: supported")
    expect(page.locator("#view")).to_contain_text("from a few sentences")
    expect(page.locator("#view svg")).to_contain_text("These are not ")


def test_pictures_are_saved(open_page, tmp_path):
    page = ready(open_page(scheme="dark"))
    for tab, kind in (("Guesses", "SVG"), ("Attention", "PNG")):
        page.get_by_role("tab", name=tab).click()
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(f"^Save as {kind}")).first.click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        content = path.read_bytes()
        if kind == "SVG":
            assert b"var(" not in content
            assert b"less" in content
            from xml.etree import ElementTree

            ElementTree.fromstring(content)
        else:
            assert content.startswith(b"\x89PNG")
            assert len(content) > 5000


def test_html_in_the_text_is_text(open_page):
    page = ready(open_page())
    ask(page, "<img src=x onerror=document.title='gone'> [MASK]")
    expect(page.locator("#view figcaption h2")).to_contain_text("gone ' > ▁▁▁")
    for tab in ("Layers", "Attention", "Heads", "Attribution"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#view figure").first).to_be_visible()
    assert page.locator("main img").count() == 0
    assert page.title() == "minibert: look inside a BERT"


@pytest.mark.parametrize("text", ["", "[MASK]", "the list " * 200])
def test_empty_long_and_only_masks(open_page, text):
    page = ready(open_page())
    ask(page, text)
    for tab in ("Layers", "Attention", "Heads", "Attribution", "Guesses"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#view figure").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{tab} is wider than the screen"
    if len(text) > 100:
        expect(page.locator(".sentence .why")).to_contain_text("are left out")


def test_a_text_that_the_model_cannot_read_says_so(bert, open_page, tmp_path):
    page, said = ready(open_page()), "Unknown to the model: 2 of 3 tokens (67 %)"
    expect(page.locator(".sentence .why")).to_be_hidden()
    ask(page, "राम घर [MASK] the")
    expect(page.locator(".sentence .why")).to_contain_text(said)
    export.page(bert, ["राम घर [MASK] the"]).save(tmp_path / "unknown.html")
    page = open_page(url=(tmp_path / "unknown.html").as_uri())
    expect(page.locator("#view .why")).to_contain_text(said)


def test_a_view_waits_for_the_guesses_of_a_word_just_hidden(open_page):
    page = ready(open_page())
    page.get_by_role("button", name="Unmask all").click()
    ask(page, "they are not supported.")
    expect(page.locator("#view")).to_contain_text("Nothing is hidden yet")

    held = hold(page, "**/api/guesses")
    page.locator('.token[data-position="2"]').click()
    page.get_by_role("tab", name="Layers").click()
    waited_for(page, held)
    page.wait_for_timeout(300)
    expect(page.locator("#view")).not_to_contain_text("Nothing is hidden")
    held.pop().continue_()
    expect(page.locator("#view")).to_contain_text("What would each layer say? they")


def test_what_was_said_of_an_example_goes_when_the_sentence_changes(open_page):
    page = ready(open_page())
    select = page.locator("#examples")
    select.select_option(label="either a string or a list.")
    expect(page.locator("#note")).to_contain_text("no head looks that far")
    ask(page, "they are not supported.")
    expect(page.locator("#note")).to_have_text("")
    select.select_option(label="either a string or a list.")
    expect(page.locator("#note")).to_contain_text("no head looks that far")


def test_a_scrolled_picture_stays_where_it_is_when_a_token_is_chosen(open_page):
    page = ready(open_page("phone"))
    ask(page, "this method must be called before the server is started.")
    page.get_by_role("tab", name="Attention").click()
    picture = page.locator("#view figure", has_text="who looks at whom").locator(".picture")
    expect(picture).to_be_visible()
    picture.evaluate("e => { e.scrollLeft = 250; }")
    page.get_by_role("button", name="query server", exact=True).click()
    expect(page.locator("#view")).to_contain_text("where “server” looks")
    picture = page.locator("#view figure", has_text="where “server” looks").locator(".picture")
    assert picture.evaluate("e => e.scrollLeft") > 200


def test_an_older_answer_never_replaces_a_newer_one(open_page, demo):
    page = ready(open_page())

    held = hold(page, "**/api/guesses", "they")
    field = page.get_by_role("textbox", name="Sentence", exact=True)
    field.fill("they [MASK] not supported.")
    waited_for(page, held)
    field.fill("it [MASK] not supported.")
    expect(best(page)).to_have_text("is")
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    expect(best(page)).to_have_text("is")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_fits_both_screens(open_page, size, scheme, tmp_path):
    page = ready(open_page(size, scheme))
    for tab in page.get_by_role("tab").all():
        tab.click()
        expect(page.locator("#view figure").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{tab.inner_text()} is wider than the screen"
        page.screenshot(path=tmp_path / f"{tab.inner_text()}.png")
    names = page.evaluate("[...document.querySelectorAll('button, input, select, [role=button]')]"
                          ".filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length")
    assert names == 0, "everything that can be pressed has a name"


def test_an_exported_file_opens_alone(bert, open_page, tmp_path):
    path = tmp_path / "attention.html"
    export.page(bert, ["they [MASK] not supported.", "a </script><b>bold {script} {data}"]).save(path)
    page = open_page(url=path.as_uri())
    expect(page.locator("#view")).to_contain_text("Where all 4 heads look")
    expect(best(page)).to_have_text("are")
    page.get_by_label("Text").select_option(index=1)
    page.get_by_role("button", name="layer 1, head 0", exact=True).click()
    expect(page.locator("#view")).to_contain_text("Layer 1, head 0")
    assert page.locator("main b").count() == 0


def test_a_text_that_is_too_long_says_so_in_an_exported_file_and_fits(bert, open_page, tmp_path):
    path = tmp_path / "long.html"
    export.page(bert, ["word " * 100 + "[MASK]", "a list."]).save(path)
    page = open_page("phone", url=path.as_uri())
    expect(page.locator("#view .why")).to_contain_text("39 more at the end are left out")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_several_pictures_in_one_notebook_do_not_disturb_each_other(bert, open_page, tmp_path):
    path = tmp_path / "notebook.html"
    shown = [bert.show_attention(text)._repr_html_() for text in ("they are not supported.", "it [MASK] not supported.")]
    path.write_text("<!doctype html><meta charset=utf-8>" + "".join(shown), encoding="utf-8")
    page = open_page(url=path.as_uri())
    first, second = page.frame_locator("iframe").nth(0), page.frame_locator("iframe").nth(1)
    expect(second.locator(".hidden-table th").first).to_have_text("is")
    first.get_by_role("button", name="layer 1, head 1", exact=True).click()
    expect(first.locator("#view")).to_contain_text("Layer 1, head 1")
    expect(second.locator("#view")).to_contain_text("Layer 0, head 0")


def test_a_run_is_watched_and_replayed(browser, bert, serve, tmp_path):
    weights = np.full((2, 2, 5, 5), 51, np.uint8)
    probe = {"text": "they are here.", "tokens": ["[CLS]", "they", "are", "here", "[SEP]"], "position": 2, "truth": "are"}
    head = {"unigram_loss": 6.3, "ln_vocabulary": 8.7, "probes": [probe, {**probe, "text": "they are there."}]}

    def measured(*figures):
        """Write a run of these (step, held-out loss, probability of the truth in the first sentence)."""
        found = [[{"guesses": [["are", p], ["is", 0.1]], "probability": p, "shape": weights.shape,
                   "attention": base64.b64encode(weights.tobytes()).decode()} for p in (p, 0.5)] for _, _, p in figures]
        lines = [head, *({"step": step, "probes": some} for (step, _, _), some in zip(figures, found))]
        (tmp_path / probes.FILE).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        write_rows(tmp_path / "metrics.csv", [
            {"step": step, "seconds": 1.0, "learning_rate": 1e-3, "gradient_norm": 1.0, "mlm_loss": loss,
             "held_out_mlm_loss": loss + 0.1} for step, loss, _ in figures if loss])

    measured((0, None, 0.01), (2, 7.0, 0.2))
    page = browser.new_page()
    page.goto(serve(Views(bert, "a run", lambda: ("", [])), watch=Run(tmp_path).report).url)
    ready(page)
    page.get_by_role("tab", name="Watch it learn").click()
    expect(page.locator("#when")).to_have_text("after step 2")
    expect(page.locator("#view")).to_contain_text("guessing by frequency 6.30")
    expect(page.locator("#view")).to_contain_text("probability 20.0 %")
    slider = page.get_by_role("slider", name="Evaluation")
    slider.focus()
    slider.press("Home")
    expect(page.locator("#view")).to_contain_text("probability 1.0 %")
    slider.press("End")
    expect(page.locator("#when")).to_have_text("after step 2")
    page.get_by_label("Sentence").last.select_option(label="they are there.")
    expect(page.locator("#view")).to_contain_text("probability 50.0 %")
    measured((0, None, 0.01), (2, 7.0, 0.2), (4, 1e7, 0.6))
    expect(page.locator("#when")).to_have_text("after step 4")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#when")).to_have_text("after step 0")
    expect(page.locator("#when")).to_have_text("after step 4")
    shutil.rmtree(tmp_path)
    expect(page.locator("#view")).to_contain_text("is gone. What was read before is still shown.")
    expect(page.locator("#when")).to_have_text("after step 4")
    page.close()


def test_a_model_without_a_head_explains_itself(browser, serve):
    from minibert.api import Bert
    from tests import tiny_model

    running = serve(Views(Bert(*tiny_model.make(), initialised=["cls.predictions.bias"]), "an encoder", lambda: ("", ["a"])))
    page = browser.new_page()
    page.goto(running.url)
    ready(page)
    expect(page.locator("#view")).to_contain_text("Where all 6 heads look")
    page.get_by_role("tab", name="Guesses").click()
    expect(page.locator("#view")).to_contain_text("this model has no masked-word head")
    page.close()
