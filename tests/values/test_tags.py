from puffer_callbacks.values.tags import sanitize_tag


def test_long_tags_are_cut_and_stay_apart():
    longest = "x" * 10_000
    assert sanitize_tag(longest) == longest
    first, second = sanitize_tag(f"{longest}a"), sanitize_tag(f"{longest}b")
    assert first.startswith(f"{longest}…") and len(first) == len(second) == 10_009
    assert first != second
    assert sanitize_tag("\x00" * 10_001).startswith("\ufffd" * 10_000)


def test_a_tag_of_spaces_has_a_name():
    assert [sanitize_tag(tag) for tag in (" ", "\u2003", " a ")] == ["unnamed", "unnamed", " a "]
