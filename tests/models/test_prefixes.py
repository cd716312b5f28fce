"""Grouping by common prefix, the prefix cache, and the trie of allowed answers."""

from __future__ import annotations

import pytest
import torch

from thirdlever.core.text import common
from thirdlever.models.engine.generate import Choices, PrefixCache, group, size


def sequence(start: int, length: int, *tail: int) -> tuple[int, ...]:
    return (*range(start, start + length), *tail)


@pytest.mark.parametrize(
    ("a", "b", "shared"), [((), (1,), 0), ((1, 2), (1, 2), 2), ((1, 2, 3), (1, 2, 4), 2), ((1,), (2,), 0)]
)
def test_common_finds_the_length_of_the_shared_prefix(a: tuple[int, ...], b: tuple[int, ...], shared: int) -> None:
    assert common(a, b) == common(b, a) == shared


def test_prompts_with_one_prefix_form_one_group() -> None:
    (found,) = group([sequence(0, 100, 900 + i) for i in range(5)])
    assert (sorted(found.members), found.shared) == ([0, 1, 2, 3, 4], 100)


def test_prompts_with_two_prefixes_form_two_groups() -> None:
    found = group([sequence(1000 * (i % 2), 100, 9000 + i) for i in range(6)])
    assert sorted((sorted(g.members), g.shared) for g in found) == [([0, 2, 4], 100), ([1, 3, 5], 100)]


def test_prompts_with_a_longer_prefix_form_a_separate_group() -> None:
    short = [sequence(0, 50, 5000 + i) for i in range(3)]
    long = [sequence(0, 400, 9000 + i) for i in range(10)]
    assert sorted((len(g.members), g.shared) for g in group(short + long)) == [(3, 50), (10, 400)]


def test_a_short_common_prefix_is_not_shared() -> None:
    (found,) = group([sequence(0, 10, 5000 + i) for i in range(4)])
    assert (len(found.members), found.shared) == (4, 0)


def test_equal_prompts_leave_a_token_to_compute() -> None:
    (found,) = group([sequence(0, 100)] * 3)
    assert found.shared == 99


def test_every_sequence_is_in_one_group() -> None:
    sequences = [sequence(i % 7 * 500, 30 + i % 5 * 40, 9000 + i) for i in range(60)]
    found = group(sequences)
    assert sorted(i for g in found for i in g.members) == list(range(60))
    for g in found:
        assert len({sequences[i][: g.shared] for i in g.members}) == 1


def test_no_prompts_form_no_group() -> None:
    assert group([]) == []


# The cache


def kv(length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    keys = torch.arange(float(length)).reshape(1, 1, length, 1)
    return [(keys, -keys)]


def test_the_longest_cached_prefix_is_returned_as_a_view() -> None:
    cache = PrefixCache(10**6)
    cache.remember(sequence(0, 100), kv(100))
    length, found = cache.longest(sequence(0, 80, 7777))
    assert length == 80
    assert found is not None
    assert found[0][0].flatten().tolist() == list(range(80))


def test_a_short_cached_prefix_is_not_used() -> None:
    cache = PrefixCache(10**6)
    cache.remember(sequence(0, 100), kv(100))
    assert cache.longest(sequence(0, 10, 7777)) == (0, None)


def test_the_least_recently_used_entry_is_dropped_first() -> None:
    cache = PrefixCache(2 * size(kv(100)))
    for start in (0, 1000):
        cache.remember(sequence(start, 100), kv(100))
    cache.longest(sequence(0, 100))
    cache.remember(sequence(2000, 100), kv(100))
    assert [cache.longest(sequence(start, 100))[0] for start in (0, 1000, 2000)] == [100, 0, 100]


def test_a_longer_entry_replaces_the_one_it_extends() -> None:
    cache = PrefixCache(size(kv(150)))
    cache.remember(sequence(0, 100), kv(100))
    cache.remember(sequence(0, 150), kv(150))
    assert cache.longest(sequence(0, 150))[0] == 150


# Choices


def test_choices_follow_the_trie() -> None:
    trie = Choices.of([[5, 6], [5, 7, 8], [5]], end=2)
    assert sorted(trie.following([])) == [5]
    assert sorted(trie.following([5])) == [2, 6, 7]
    assert trie.following([5, 6, 2]) == []


def test_tokens_without_an_alternative_are_forced() -> None:
    trie = Choices.of([[5, 6], [5, 7, 8]], end=2)
    assert trie.forced([]) == []
    assert trie.forced([5, 7]) == [8, 2]
