"""Images of observations: their colours, the figure of their embedding, and films of them."""

import numpy as np
import pytest
from PIL import Image

from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.traffic_lights import TrafficLightsConfig
from embrl.report import recording
from embrl.report.film import FilmConfig
from embrl.report.seen_images import enlarged, in_colours, plot_seen_images
from embrl.training.episodes import Episode


def test_colours_stay_frames_are_averaged_and_one_channel_is_grey() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(in_colours(image), image)
    frames = np.concatenate([image, image + 20], -1)
    np.testing.assert_array_equal(in_colours(frames), image + 10)
    grey = np.array([[[[7], [200]]]], np.uint8)
    np.testing.assert_array_equal(in_colours(grey)[0, 0], [[7] * 3, [200] * 3])
    four = np.array([[[[0, 10, 20, 30]]]], np.uint8)
    np.testing.assert_array_equal(in_colours(four)[0, 0, 0], [15] * 3)


@pytest.mark.parametrize("most", [1, 255])
def test_planes_have_a_colour_each_and_later_ones_cover_earlier_ones(most: int) -> None:
    planes = most * np.array([[[[0, 0], [1, 0], [0, 1], [1, 1]]]], np.uint8)
    background, first, second, both = in_colours(planes)[0, 0].tolist()
    assert background == [240] * 3
    assert first == [0x00, 0x72, 0xB2]
    assert second == both == [0xD5, 0x5E, 0x00]
    six = np.concatenate([planes, 0 * planes, 0 * planes], -1)  # no two frames in three colours
    np.testing.assert_array_equal(in_colours(six), in_colours(planes))


def test_pixels_become_squares() -> None:
    image = np.array([[[1] * 3, [2] * 3]], np.uint8)
    large = enlarged(image, 7)
    assert large.shape == (3, 6, 3)
    assert (large[:, :3] == 1).all()
    assert (large[:, 3:] == 2).all()
    assert enlarged(image, 1).shape == image.shape


def test_a_figure_shows_images_at_their_points(tmp_path) -> None:
    phi = np.array([[0.0, 0.0, 0.0], [4.0, 2.0, 0.0], [0.0, 3.0, 1.0], [4.0, 2.0, 0.0]])
    images = np.zeros((4, 10, 10, 3), np.uint8)
    images[..., 0] = np.array([250, 0, 0, 0])[:, None, None]
    images[1, ..., 1] = images[3, ..., 1] = 250
    images[2, ..., 2] = 250
    plot_seen_images(tmp_path / "states.png", phi=phi, images=images)
    drawn = np.asarray(Image.open(tmp_path / "states.png").convert("RGB")).reshape(-1, 3)
    side = 0.6 * 150
    for colour in np.eye(3, dtype=int) * 250:  # two images at one point are drawn once
        assert (drawn == colour).all(-1).sum() == pytest.approx(side**2, rel=0.1)


def test_a_film_shows_what_the_agent_saw(tmp_path) -> None:
    config = default_config("traffic_lights", TrafficLightsConfig(), "none", "ppo")
    env, wanted = config.env.build(), FilmConfig(tmp_path / "seen.gif", width=40)
    observations = np.zeros((3, 12, 12, 3), np.uint8)
    observations[0, ..., 0] = observations[2, ..., 1] = 255
    episode = Episode(observations, np.zeros(2), np.zeros(2), True, False)
    film = recording._film(env, "traffic_lights", wanted)
    assert film is not None
    assert list(recording._filmed(iter([episode]), film, wanted, config, False)) == [episode]
    with Image.open(wanted.path) as gif:
        assert (getattr(gif, "n_frames", 1), gif.size) == (3, (36, 36))
        assert gif.convert("RGB").getpixel((20, 20)) == (255, 0, 0)
        gif.seek(2)
        assert gif.convert("RGB").getpixel((20, 20)) == (0, 255, 0)
    with pytest.raises(EmbrlError, match="gridworld cannot be drawn"):
        recording._film(GridworldConfig().build(), "gridworld", wanted)
