"""Words that two prompts share are found, the others are not."""

from editor.methods.alignment import align

START, END = 100, 101


def _padded(*words: int, length: int = 10) -> list[int]:
    told = [START, *words, END]
    return told + [END] * (length - len(told))


def test_an_inserted_word_shifts_those_behind_it_and_has_no_partner() -> None:
    found = align([_padded(1, 2, 3)], [_padded(1, 9, 2, 3)], END)
    assert found is not None
    assert found.aligned[0].tolist() == [True, True, False, True, True, True, True, True, True, True]
    assert found.indices[0, [0, 1, 3, 4, 5, 6]].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_longer_caption_leaves_the_last_padding_to_the_target() -> None:
    found = align([_padded(1, 7, 8, 2)], [_padded(1, 2)], END)
    assert found is not None
    assert found.indices[0, :5].tolist() == [0, 1, 4, 5, 6]
    assert found.aligned[0].tolist() == [True] * 8 + [False] * 2


def test_equal_prompts_align_to_themselves() -> None:
    found = align([_padded(4, 5, 4), None], [_padded(4, 5, 4), _padded(4, 5, 4)], END)
    assert found is not None
    assert found.indices[0].tolist() == list(range(10))
    assert found.aligned[0].all()
    assert not found.aligned[1].any()


def test_without_any_caption_there_is_nothing_to_align() -> None:
    assert align([None, None], [_padded(1), _padded(2)], END) is None
