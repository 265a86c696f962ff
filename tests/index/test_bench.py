"""The measurements run, and run again on what is already built."""

from index.bench import build, run


def test_it_builds_a_store_once_and_measures_without_error(tmp_path):
    figures = run(400, tmp_path, together_s=0.5)
    assert figures["two_writers_two_readers"]["errors"] == []
    assert figures["two_characters_newest_20_and_count"]["n_hits_median"] > 0
    assert figures["overview_30_d"]["each"].keys() >= {"volume", "trend", "stories", "aspects", "platforms"}
    built = (tmp_path / "bench-400.db").stat().st_ino
    assert build(tmp_path / "bench-400.db", 400) == figures["load"]
    assert (tmp_path / "bench-400.db").stat().st_ino == built
