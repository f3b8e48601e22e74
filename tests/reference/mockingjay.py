"""What the original Mockingjay makes of random frames: the witness of `affetto.encoders.speech_bert`.

Writes mockingjay.safetensors beside this file: random weights under the original's names (`Transformer.*` and
`SpecHead.*`), frames of three clips, their lengths, and what the original's encoder and prediction head answer. The
original is s3prl (https://github.com/s3prl/s3prl, commit ec8064b5889f81ca460fbe2c094ce576a6f120b7, version 0.4.18,
Apache-2.0). Given a checkout of it:

    python tests/reference/mockingjay.py PATH/TO/s3prl
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

HERE = Path(__file__).parent
LENGTHS = [37, 9, 21]
INPUTS = 20
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "share_layer": False,
    "pre_layer_norm": False,
}
UNMASKED = {"position_encoding_size": 32, "mask_proportion": 0, "mask_frequency": 0, "noise_proportion": 0}
"""Settings of the pretraining task under which frames stay as they are."""


def module(path: Path) -> ModuleType:
    """One file of the original, without the rest of its package and what that needs."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, path
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """The network in evaluation mode, with weights large enough for every one of them to matter, biases included."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return network.eval()


@torch.no_grad()
def main() -> None:
    """Write the stored tensors."""
    from safetensors.torch import save_file

    root = Path(sys.argv[1]) / "s3prl"
    original = module(root / "upstream" / "mockingjay" / "model.py")
    task = module(root / "pretrain" / "mockingjay" / "task.py")

    torch.manual_seed(0)
    config = original.TransformerConfig(SIZES)
    transformer = shaken(original.TransformerModel(config, INPUTS))
    head = shaken(original.TransformerSpecPredictionHead(config, INPUTS))

    frames = torch.zeros(len(LENGTHS), max(LENGTHS), INPUTS)
    for row, length in zip(frames, LENGTHS, strict=True):
        row[:length] = torch.randn(length, INPUTS)
    # The original finds the clips' ends itself, by frames of zeros.
    _, positions, _, mask, inputs = task.generate_masked_acoustic_model_data((frames.clone(),), UNMASKED)
    assert mask.sum(dim=1).tolist() == LENGTHS and torch.equal(inputs, frames)
    states = transformer(inputs, positions.expand(len(frames), -1, -1), mask, output_all_encoded_layers=False)
    predicted, _ = head(states)

    tensors = {"frames": frames, "lengths": torch.tensor(LENGTHS), "states": states, "predicted": predicted}
    for part, network in {"Transformer": transformer, "SpecHead": head}.items():
        tensors.update({f"{part}.{name}": tensor for name, tensor in network.state_dict().items()})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "mockingjay.safetensors")


if __name__ == "__main__":
    main()
