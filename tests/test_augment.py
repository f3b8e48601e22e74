import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from affetto.augment import SpecAugmentSettings, WarpSettings, crop, spec_augment, warp
from affetto.batch import Padded, pad


def ones(lengths: list[int], n_mels: int = 40) -> Padded:
    return Padded(torch.ones(len(lengths), max(lengths), n_mels), torch.tensor(lengths)).zeroed()


def struck(lengths: list[int], augmentation: SpecAugmentSettings, *, seed: int = 0, n_mels: int = 40) -> list:
    """Of each clip, which frames and which bins were struck out whole."""
    frames = ones(lengths, n_mels)
    result = spec_augment(frames, augmentation, generator=torch.Generator().manual_seed(seed), normalised=True)
    assert torch.equal(result.lengths, frames.lengths)
    assert not result.values[~frames.mask].any()
    marks = []
    for clip in result.unbind():
        times, bins = (clip == 0).all(dim=1), (clip == 0).all(dim=0)
        assert torch.equal(clip == 0, times[:, None] | bins[None, :])  # stripes and nothing else
        marks.append((times, bins))
    return marks


def runs(mark: torch.Tensor) -> int:
    return int(torch.diff(mark.int(), prepend=torch.zeros(1, dtype=torch.int)).clamp(min=0).sum())


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    sizes=st.builds(
        SpecAugmentSettings,
        time_stripes=st.integers(0, 3),
        time_width=st.integers(0, 80),
        mel_stripes=st.integers(0, 3),
        mel_width=st.integers(0, 60),
    ),
    seed=st.integers(0, 10),
)
def test_no_more_is_struck_than_the_settings_say(lengths, sizes, seed):
    for length, (times, bins) in zip(lengths, struck(lengths, sizes, seed=seed), strict=True):
        if not bins.all():  # otherwise every frame looks struck
            assert runs(times) <= sizes.time_stripes
            assert times.sum() <= sizes.time_stripes * min(sizes.time_width, 0.2 * length)
        if not times.all():
            assert runs(bins) <= sizes.mel_stripes
            assert bins.sum() <= sizes.mel_stripes * min(sizes.mel_width, 40)


def test_the_defaults_strike_stripes_of_all_widths_at_all_places():
    marks = [mark for seed in range(300) for mark in struck([500], SpecAugmentSettings(), seed=seed, n_mels=160)]
    times, bins = (torch.stack([mark[axis] for mark in marks]) for axis in (0, 1))
    assert times.any(dim=0).all() and bins.any(dim=0).all()
    assert times.sum(dim=1).float().mean().item() == pytest.approx(
        2 * 31.5, rel=0.1
    )  # two of 0..63, seldom overlapping
    assert bins.sum(dim=1).float().mean().item() == pytest.approx(2 * 9.5, rel=0.1)  # two of 0..19


def test_each_clip_of_a_batch_has_stripes_of_its_own():
    marks = struck([300] * 8, SpecAugmentSettings())
    assert len({tuple(times.tolist()) for times, _ in marks}) == 8


def test_where_frames_are_not_normalised_stripes_have_each_bins_own_mean():
    frames = pad([torch.randn(length, 40, generator=torch.Generator().manual_seed(length)) - 30 for length in (90, 60)])
    struck, kept = (
        spec_augment(
            frames, SpecAugmentSettings(), generator=torch.Generator().manual_seed(1), normalised=normalised
        ).unbind()
        for normalised in (False, True)
    )
    for clip, ours, zeroed in zip(frames.unbind(), struck, kept, strict=True):
        assert (zeroed == 0).any()
        torch.testing.assert_close(ours, torch.where(zeroed == 0, clip.mean(dim=0), clip))


def test_the_generator_alone_decides():
    frames, before = ones([300, 200]), torch.get_rng_state()

    def once(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return spec_augment(frames, SpecAugmentSettings(), generator=generator, normalised=True).values

    assert torch.equal(once(0), once(0))
    assert not torch.equal(once(0), once(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(frames.values, ones([300, 200]).values)  # the frames themselves are left as they were


# Random stretches of long clips


def clocks(seconds: list[float], rate: int) -> Padded:
    """A stream whose frames say when they are, counted from 1 so that none looks like padding."""
    return pad([1 + torch.arange(round(length * rate))[:, None] / rate for length in seconds])


@settings(deadline=None, max_examples=40)
@given(
    seconds=st.lists(st.integers(1, 40).map(lambda tenths: tenths / 10), min_size=1, max_size=5),
    size=st.integers(1, 20).map(lambda tenths: tenths / 10),
    seed=st.integers(0, 99),
)
def test_all_streams_are_cut_at_the_same_place_and_short_clips_not_at_all(seconds, size, seed):
    streams = {
        "fast": clocks(seconds, 100),
        "slow": clocks(seconds, 50),
        "vector": pad([torch.ones(1, 4)] * len(seconds)),
    }
    rates = {"fast": 100.0, "slow": 50.0, "vector": None}
    cut = crop(streams, rates, size, torch.Generator().manual_seed(seed))
    assert cut["vector"] is streams["vector"]
    fast, slow = cut["fast"].unbind(), cut["slow"].unbind()
    for i, length in enumerate(seconds):
        if length <= size:
            assert torch.equal(fast[i], streams["fast"].unbind()[i])
            assert torch.equal(slow[i], streams["slow"].unbind()[i])
            continue
        assert (len(fast[i]), len(slow[i])) == (round(100 * size), round(50 * size))
        for part, rate in ((fast[i], 100), (slow[i], 50)):
            torch.testing.assert_close(part[:, 0], part[0, 0] + torch.arange(len(part)) / rate, atol=1e-4, rtol=0)
            assert part[-1, 0] < 1 + length
        assert abs(float(fast[i][0, 0] - slow[i][0, 0])) <= 1 / 50 + 1e-4
    for stream in (cut["fast"], cut["slow"]):
        assert not stream.values[~stream.mask].any()
        assert stream.lengths.dtype == torch.int64


def test_stretches_begin_anywhere_with_equal_chance():
    frames = torch.arange(10.0)[None, :, None].expand(7000, -1, -1)
    streams = {"log_mel": Padded(frames, torch.full((7000,), 10))}
    starts = crop(streams, {"log_mel": 1.0}, 4.0, torch.Generator().manual_seed(0))["log_mel"].values[:, 0, 0]
    counts = torch.bincount(starts.long(), minlength=10).tolist()
    assert counts[7:] == [0, 0, 0]
    assert counts[:7] == pytest.approx([1000] * 7, abs=120)  # four deviations


def test_the_generator_alone_decides_where_stretches_begin():
    streams, before = {"log_mel": clocks([3.0, 2.0], 100)}, torch.get_rng_state()

    def once(seed: int) -> torch.Tensor:
        return crop(streams, {"log_mel": 100.0}, 0.5, torch.Generator().manual_seed(seed))["log_mel"].values

    assert torch.equal(once(0), once(0))
    assert not torch.equal(once(0), once(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_warping_reads_every_frame_and_bin_where_scipy_does(monkeypatch):
    clips = pad([torch.randn(37, 20), torch.randn(21, 20)])
    draws = iter([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])])  # fastest and slowest; squeezed and stretched
    monkeypatch.setattr(torch, "rand", lambda *_, **__: next(draws))
    warped = warp({"a": clips}, {"a": 1}, WarpSettings(tempo=0.2, frequency=0.1), torch.Generator())["a"]
    assert warped.lengths.tolist() == [30, 26]  # 37 / 1.2, 21 / 0.8
    for clip, result, tempo, frequency in zip(clips.unbind(), warped.unbind(), (1.2, 0.8), (0.9, 1.1), strict=True):
        times = (np.arange(len(result)) * tempo).clip(max=len(clip) - 1)
        bins = (np.arange(20) * frequency).clip(max=19)
        expected = map_coordinates(clip.numpy(), np.meshgrid(times, bins, indexing="ij"), order=1)
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-4)
    assert not warped.values[1, 26:].any()


def test_warping_by_nothing_changes_nothing():
    clips = {"a": pad([torch.randn(30, 8), torch.randn(1, 8)])}
    same = warp(clips, {"a": 2}, WarpSettings(tempo=0, frequency=0), torch.Generator().manual_seed(0))["a"]
    torch.testing.assert_close(same.values, clips["a"].values, atol=1e-5, rtol=0)
    assert torch.equal(same.lengths, clips["a"].lengths)


def test_streams_are_warped_alike_and_deltas_as_spectra_of_their_own():
    mel, other = torch.randn(40, 10), torch.randn(40, 10)
    streams = {"both": pad([torch.cat([mel, other], dim=1)]), "first": pad([mel]), "second": pad([other])}
    warped = warp(streams, {"both": 2, "first": 1, "second": 1}, WarpSettings(), torch.Generator().manual_seed(3))
    assert len(warped["both"].values[0]) != 40
    parts = torch.cat([warped["first"].values, warped["second"].values], dim=2)
    torch.testing.assert_close(warped["both"].values, parts)
