import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from affetto.batch import Batch, Padded, by_length, ceil_divide, expand, extend, join, pad, stretch


def sequences(*lengths: int, width: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, width, generator=generator) for length in lengths]


@pytest.mark.parametrize("lengths", [(4,), (4, 4), (5, 1, 3)])
def test_what_is_padded_comes_back_as_it_was(lengths):
    clips = sequences(*lengths)
    padded = pad(clips)
    assert len(padded) == len(lengths)
    assert padded.values.shape == (len(lengths), max(lengths), 3)
    assert padded.lengths.tolist() == list(lengths)
    assert padded.lengths.dtype == torch.int64
    for clip, row in zip(clips, padded.unbind(), strict=True):
        assert torch.equal(clip, row)


def test_beyond_a_sequence_there_are_zeros():
    padded = pad(sequences(5, 2))
    assert padded.mask.tolist() == [[True] * 5, [True, True, False, False, False]]
    assert not padded.values[~padded.mask].any()
    assert not padded.with_values(torch.ones(2, 5, 7)).values[~padded.mask].any()
    assert padded.with_values(torch.ones(2, 5, 7)).values[padded.mask].all()


def test_only_sequences_of_one_length_are_full():
    assert pad(sequences(3, 3)).is_full
    assert not pad(sequences(3, 2)).is_full
    assert not Padded(torch.zeros(2, 4, 1), torch.tensor([3, 3])).is_full


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 4))
def test_the_mean_is_over_each_sequences_own_length(lengths, more):
    clips = sequences(*lengths)
    padded = pad(clips)
    # Rubbish in the padding must not be looked at.
    values = torch.cat([padded.values, torch.zeros(len(clips), more, 3)], dim=1)
    values[torch.arange(values.shape[1]) >= padded.lengths[:, None]] = torch.nan
    means = Padded(values, padded.lengths).mean()
    torch.testing.assert_close(means, torch.stack([clip.mean(dim=0) for clip in clips]))


def test_a_batch_moves_with_all_that_is_in_it():
    batch = Batch({"log_mel": pad(sequences(2, 1))}, torch.tensor([0, 1])).to("meta")
    stream = batch.streams["log_mel"]
    assert {stream.values.device.type, stream.lengths.device.type, batch.targets.device.type} == {"meta"}


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 8), st.none() | st.integers(1, 200))
def test_batches_by_length_hold_every_item_once_and_keep_their_limits(lengths, size, budget):
    batches = by_length(lengths, size, budget=budget)
    flat = [index for batch in batches for index in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[index] for index in flat] == sorted(lengths, reverse=True)
    for batch in batches:
        assert 1 <= len(batch) <= size
        if budget is not None and len(batch) > 1:
            assert len(batch) * max(lengths[index] for index in batch) <= budget


def test_batches_by_length_are_no_smaller_than_they_need_be():
    assert [len(batch) for batch in by_length([5] * 10, 4)] == [4, 4, 2]
    assert [len(batch) for batch in by_length([5] * 10, 4, budget=15)] == [3, 3, 3, 1]
    assert by_length([7, 100], 4, budget=10) == [[1], [0]]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_extended_values_divide_into_the_windows_that_are_counted(length, stride):
    values = torch.ones(2, length, 3)
    longer = extend(values, stride, fill=-1.0)
    windows = int(ceil_divide(torch.tensor(length), stride))
    assert longer.shape == (2, windows * stride, 3)
    assert torch.equal(longer[:, :length], values)
    assert (longer[:, length:] == -1).all()


def test_a_mask_is_expanded_to_the_axes_that_follow():
    assert expand(torch.ones(2, 5), torch.zeros(2, 5, 3, 7)).shape == (2, 5, 1, 1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_joined_sequences_follow_each_other_clip_by_clip(lengths, more, again):
    first, second = (sequences(*side) for side in zip(*lengths, strict=True))
    joined = join(longer(pad(first), more), longer(pad(second), again))
    assert joined.lengths.tolist() == [a + b for a, b in lengths]
    assert not joined.values[~joined.mask].any()
    for a, b, row in zip(first, second, joined.unbind(), strict=True):
        assert torch.equal(row, torch.cat([a, b]))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60)), min_size=1, max_size=5),
    st.sampled_from([1, 2.5, 7, 64]),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_stretched_steps_are_repeated_for_what_they_cover_whatever_is_padded(lengths, every, more, again):
    coarse, fine = zip(*lengths, strict=True)
    steps = sequences(*coarse)
    like = longer(pad(sequences(*fine)), again)
    stretched = stretch(longer(pad(steps), more), like, every)
    assert stretched.lengths.tolist() == list(fine)
    assert len(stretched.values[0]) == len(like.values[0])
    assert not stretched.values[~stretched.mask].any()
    for clip, n, row in zip(steps, fine, stretched.unbind(), strict=True):
        ends = [every * (step + 1) for step in range(len(clip) - 1)]
        assert torch.equal(row, clip[np.searchsorted(ends, range(n), side="right")])


def longer(padded: Padded, more: int) -> Padded:
    """The same with more padding, and rubbish in it."""
    rubbish = torch.full((len(padded), more, *padded.values.shape[2:]), torch.nan)
    return Padded(torch.cat([padded.values, rubbish], dim=1), padded.lengths)
