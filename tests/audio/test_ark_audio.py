"""wav.scp entries ``file.ark:offset``, with arks that kaldiio writes."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest

from utils.audio.loading import audio_seconds, load_audio
from utils.data.data_directory import MergeOptions, merge_task_lists
from utils.errors import UserError

TONE = (np.sin(np.arange(24_000) / 9) * 9000).astype(np.int16)


@pytest.mark.parametrize("options", [{}, {"write_function": "soundfile"}])
def test_audio_in_an_ark_is_read_where_the_list_says(tmp_path: Path, options: dict[str, str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    task = tmp_path / "train/transcribe"
    task.mkdir(parents=True)
    audio = {"a|fr|transcribe": (16_000, TONE), "b|fr|transcribe": (16_000, TONE[:8000])}
    kaldiio.save_ark(str(task / "wav.ark"), audio, scp=str(task / "wav.scp"), **options)
    (task / "text").write_text("".join(f"{key} mot\n" for key in audio))
    (task / "wav.scp").write_text((task / "wav.scp").read_text().replace(f"{task}/", ""))  # relative to the list
    merged = merge_task_lists(task.parent, MergeOptions())
    sources = merged.wav_scp
    assert [round(merged.seconds[source], 3) for source in sources.values()] == [1.5, 0.5]
    assert np.array_equal(load_audio(sources["a|fr|transcribe"]), TONE / np.float32(32768))
    assert np.array_equal(load_audio(f"{sources['a|fr|transcribe']}[0.5:1]"), TONE[8000:16_000] / np.float32(32768))
    with pytest.raises(UserError, match=r"wav\.ark:3: no wav and no AUDIO entry at this offset"):
        audio_seconds(f"{task}/wav.ark:3")


def test_a_pickle_in_an_ark_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "wav.ark"
    kaldiio.save_ark(str(path), {"a": TONE}, write_function="pickle")
    with pytest.raises(UserError, match="no wav and no AUDIO entry"):
        load_audio(f"{path}:2")
