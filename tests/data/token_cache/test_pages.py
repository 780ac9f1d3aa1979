from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from mtmoe.data.token_cache.files.pages import (
    PAGE_EXAMPLES,
    PAGE_TOKENS,
    PageError,
    decode_example_page,
    decode_text_page,
    encode_example_page,
    encode_text_page,
    example_pages,
    text_pages,
    token_width,
)

_SEEDS = st.integers(0, 2**32 - 1)


def _documents(sizes: list[int], seed: int, vocab_size: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, vocab_size, size) for size in sizes]


def test_the_width_follows_the_vocabulary():
    assert [token_width(size) for size in (1, 65_536, 65_537, 250_112)] == [2, 2, 4, 4]


@hypothesis.given(
    st.lists(st.one_of(st.integers(0, 40), st.integers(0, 9000)), max_size=60),
    st.sampled_from([256, 32_128, 65_536, 250_112]),
    _SEEDS,
)
@hypothesis.settings(max_examples=50)
def test_pages_of_text_hold_the_stream_and_its_documents(sizes, vocab_size, seed):
    documents = _documents(sizes, seed, vocab_size)
    width = token_width(vocab_size)
    pages = [
        decode_text_page(encode_text_page(page, width), width)
        for page in text_pages(documents)
    ]
    assert all(len(page.tokens) == PAGE_TOKENS for page in pages[:-1])
    assert all(1 <= len(page.tokens) <= PAGE_TOKENS for page in pages)
    stream = np.concatenate([[], *(page.tokens for page in pages)])
    assert np.array_equal(stream, np.concatenate([[], *documents]))
    starts = [
        number * PAGE_TOKENS + start
        for number, page in enumerate(pages)
        for start in page.starts.tolist()
    ]
    ends = np.cumsum([size for size in sizes if size]).tolist()
    assert starts == [0, *ends][: len(ends)]


def test_very_many_short_documents():
    documents = [[number % 7] * (number % 5) for number in range(50_000)]
    pages = list(text_pages(documents))
    assert sum(len(page.starts) for page in pages) == 40_000
    tokens = np.concatenate([page.tokens for page in pages])
    assert tokens.tolist() == [token for document in documents for token in document]


@hypothesis.given(
    st.integers(1, 4).flatmap(
        lambda features: st.lists(
            st.lists(st.integers(0, 60), min_size=features, max_size=features),
            min_size=1,
            max_size=50,
        )
    ),
    st.sampled_from([32_128, 250_112]),
    _SEEDS,
)
@hypothesis.settings(max_examples=50)
def test_pages_of_examples_hold_the_examples(sizes, vocab_size, seed):
    generator = np.random.default_rng(seed)
    examples = [
        [generator.integers(0, vocab_size, size) for size in row] for row in sizes
    ]
    num_features, width = len(sizes[0]), token_width(vocab_size)
    pages = [
        decode_example_page(encode_example_page(page, width), num_features, width)
        for page in example_pages(examples, num_features)
    ]
    assert all(len(page.sizes) == PAGE_EXAMPLES for page in pages[:-1])
    assert np.concatenate([page.sizes for page in pages]).tolist() == sizes
    tokens = np.concatenate([page.tokens for page in pages])
    flat = [feature for example in examples for feature in example]
    assert np.array_equal(tokens, np.concatenate(flat))


def test_decoding_copies_nothing():
    (page,) = text_pages([[1, 2, 3], [4]])
    decoded = decode_text_page(encode_text_page(page, 2), 2)
    assert not decoded.tokens.flags.owndata
    assert decoded.tokens.tolist() == [1, 2, 3, 4]
    assert decoded.starts.tolist() == [0, 3]


def test_examples_of_another_number_of_features():
    with pytest.raises(ValueError, match="3 features, not 2"):
        list(example_pages([[[1], [2], [3]]], 2))


def _text_bytes() -> bytes:
    (page,) = text_pages([[1, 2, 3], [4, 0, 0]])
    return encode_text_page(page, 2)


def _example_bytes() -> bytes:
    (page,) = example_pages([[[1, 2], [3]], [[], [4]]], 2)
    return encode_example_page(page, 2)


@pytest.mark.parametrize(
    ("content", "decode"),
    [
        (_text_bytes(), lambda content: decode_text_page(content, 2)),
        (_example_bytes(), lambda content: decode_example_page(content, 2, 2)),
    ],
)
def test_every_flipped_bit_and_every_cut_is_found(content, decode):
    decode(content)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PageError):
            decode(bytes(flipped))
    for size in range(len(content)):
        with pytest.raises(PageError):
            decode(content[:size])


def test_a_page_of_another_form_is_found():
    with pytest.raises(PageError, match="do not hold 6 tokens"):
        decode_text_page(_text_bytes(), 4)
    with pytest.raises(PageError, match="do not hold 2 examples"):
        decode_example_page(_example_bytes(), 9, 2)
