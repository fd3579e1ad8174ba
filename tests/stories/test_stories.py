"""Every story in this folder."""

from pathlib import Path

import pytest

from support.story import Story

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_ends_as_it_is_told(path: Path) -> None:
    Story(path).run()
