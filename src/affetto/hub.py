"""Files of a model from a folder or, for users with the internet, from the Hugging Face hub."""

from pathlib import Path

from affetto.errors import CheckpointError


def fetch(folder_or_id: str | Path, file: str) -> Path:
    """The path of one file of a model.

    Args:
        folder_or_id: a folder on disk, or a hub id such as "openai/whisper-base", which is downloaded once and cached.
        file: name inside the folder.

    Raises:
        CheckpointError: if the folder or the repository does not exist, lacks the file, or cannot be reached.
    """
    folder = Path(folder_or_id)
    if folder.is_dir():
        path = folder / file
        if not path.is_file():
            raise CheckpointError(f"{folder_or_id}: has no {file}, so it is not a model folder")
        return path
    if folder.exists():
        raise CheckpointError(f"{folder_or_id}: is a file; expected a model folder or a hub id")
    name = str(folder_or_id)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name}: no such folder; expected a model folder or a hub id such as owner/model "
            "(`affetto train` and `affetto pretrain` make folders)"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{name}: no such folder, and not to be had from the hub ({reason})") from error
