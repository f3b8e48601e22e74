"""What PANNs' own `Cnn14_16k` makes of two short clips: the witness of `affetto.encoders.cnn14`.

Writes cnn14.safetensors beside this file: the clips, and for each what the original's front end hears and the
embedding and logits of its network at full size, in evaluation; and as metadata `shapes` the names and shapes of the
original's tensors, for 4 classes. Its 80 million weights are not stored: `draw` makes them, here and in the test, of
each tensor's name and shape alone. The original is
https://github.com/qiuqiangkong/audioset_tagging_cnn (commit d2f4b8c18eab44737fcc0de1248ae21eb43f6aa4, MIT). Given a
checkout of it, and with librosa and torchlibrosa 0.1.0:

    python tests/reference/cnn14.py PATH/TO/audioset_tagging_cnn
"""

import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "samples"
CLIPS = {"03a07Nc": (8_000, 17_600), "15a05Eb": (16_000, 29_333)}
"""Sample -> first and last sample of the cut: 61 and 84 frames."""
FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")


def draw(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for every tensor of the network's own, statistics and gains of the batch norms far from 0 and 1."""
    return {
        name: torch.from_numpy(_draw(name, tuple(tensor.shape))) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
        if not name.startswith(FRONT_END)
    }


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.RandomState(zlib.crc32(name.encode()))  # whose stream NumPy promises never to change
    module, _, kind = name.rpartition(".")
    if len(shape) > 1:  # so that maps stay of one size through all layers
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    if kind == "running_var":
        return ((400.0 if module == "bn0" else 1.0) * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
    if kind == "running_mean":
        return ((-40.0 if module == "bn0" else 0.0) + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    return ((1.0 if kind == "weight" else 0.0) + 0.2 * rng.standard_normal(shape)).astype(np.float32)


@torch.no_grad()
def main() -> None:
    """Write the stored tensors."""
    import soundfile
    from safetensors.torch import save_file

    sys.path.insert(0, str(Path(sys.argv[1]) / "pytorch"))
    from models import Cnn14_16k

    original = Cnn14_16k(16_000, 512, 160, 64, 50, 8_000, classes_num=4).eval()
    original.load_state_dict(draw(original.state_dict()), strict=False)
    seen: dict[str, Tensor] = {}
    for name in ("logmel_extractor", "fc_audioset"):
        original.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    tensors = {}
    for clip, (start, stop) in CLIPS.items():
        pcm, _ = soundfile.read(SAMPLES / f"{clip}.wav", start=start, stop=stop, dtype="int16")
        embedding = original(torch.from_numpy(pcm / np.float32(2**15))[None])["embedding"]
        tensors[f"{clip}.pcm16"] = torch.from_numpy(pcm)
        tensors[f"{clip}.log_mel"] = seen["logmel_extractor"][0, 0]  # (T, 64)
        tensors[f"{clip}.embedding"] = embedding[0]
        tensors[f"{clip}.logits"] = seen["fc_audioset"][0]
    (HERE / "cnn14.safetensors").unlink(missing_ok=True)
    shapes = {name: list(tensor.shape) for name, tensor in original.state_dict().items()}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, HERE / "cnn14.safetensors", metadata={"shapes": json.dumps(shapes)})
    (HERE / "cnn14.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
