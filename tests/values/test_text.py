import pytest

from puffer_callbacks import Hyperparameters, Text


@pytest.mark.parametrize("text", [None, 1, b"bytes", ["words"]])
def test_a_text_must_be_a_string(text):
    assert Text("words").text == "words"
    with pytest.raises(TypeError, match="Text: expected a string, got"):
        Text(text)


def test_settings_are_numbers_strings_and_booleans():
    settings = {"a": 1, "b": 0.5, "c": "x", "d": True}
    assert Hyperparameters(settings).settings == settings
    for bad in ([1], None, {"nested": 1}, 1j):
        with pytest.raises(TypeError, match="expected a number, string or boolean for 'bad', got"):
            Hyperparameters({"bad": bad})


@pytest.mark.parametrize("status", ["done", "", None])
def test_another_status_raises(status):
    with pytest.raises(ValueError, match="expected running, success or failure, got"):
        Hyperparameters({}, status=status)
