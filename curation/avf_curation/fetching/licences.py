"""The terms of each list that `avf-curate fetch` reads, as far as this program knows them."""

_VIDEOS = (
    "The list gives no right to the videos. They belong to the people who uploaded them, show people who have rights "
    "of their own, and are on a site with terms of its own. Whether you may download, keep and use them where you are "
    "is for you to find out; this program knows nothing of it."
)
LICENCES = {
    "voxceleb2": (
        "VoxCeleb2 (Visual Geometry Group, Oxford): https://www.robots.ox.ac.uk/~vgg/data/voxceleb/\n"
        "The owners publish the list (ids, ranges, face tracks) under Creative Commons Attribution 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/), for research; read the terms at their address, which count.\n"
        f"{_VIDEOS}"
    ),
    "avspeech": (
        "AVSpeech (Google Research): https://looking-to-listen.github.io/avspeech/\n"
        "The owners publish the list (ids, ranges, centres of faces) under Creative Commons Attribution 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/); read the terms at their address, which count.\n"
        f"{_VIDEOS}"
    ),
    "celebvhq": (
        "CelebV-HQ (Zhu and others, 2022): https://github.com/CelebV-HQ/CelebV-HQ\n"
        "The owners publish the list (ids, ranges, boxes, attributes) for non-commercial research alone, and forbid to "
        "pass it or the videos on; read the terms at their address, which count.\n"
        f"{_VIDEOS}"
    ),
}
"""Name of the corpus -> text that a user reads and accepts before the first download."""
