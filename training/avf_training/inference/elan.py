"""Predictions of one video as a document of ELAN, the annotation program (ELAN Annotation Format 3.0, `.eaf`).

Each person has a tier of labels on the video's time, and a tier of their probabilities that hangs on it; of a model of
dimensions, each person has a tier of values for each dimension.
"""

import mimetypes
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from avf_training.inference.person_prediction import PersonPrediction
from avf_training.inference.prediction_kinds import AUTHOR
from avf_training.inference.subtitles import single_line
from avf_training.inference.timeline import TimelineSegment, label_segments, value_segments

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LABEL, _PROBABILITY, _VALUE = "label", "probability", "value"  # types of tiers
_DIGITS = 2  # of values of dimensions
# XML 1.0, section 2.2. Surrogates stand in paths for bytes that are not UTF-8.
_FORBIDDEN_IN_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_elan(people: Sequence[PersonPrediction], video: Path | None, out: Path) -> bytes:
    """Return the predictions for the people of one video as a document of ELAN.

    Args:
        video: the file of the video; None where only its clips are known: ELAN then looks for the name beside the
            document, or asks for the file.
        out: file of the document, from which the video is found where both move together.
    """
    ElementTree.register_namespace("xsi", _XSI)
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": AUTHOR,
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(people[0], video, out))
    tiers = _Tiers(root)
    for person in people:
        name = f"person {person.person + 1}"
        if person.classes:
            tiers.add_labels(name, label_segments(person), person.names)
            continue
        for index, dimension in enumerate(person.names):
            tiers.add_values(f"{name} {single_line(dimension)}", name, value_segments(person, index, _DIGITS))
    _add_types(root, classes=people[0].classes)
    ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(tiers.annotations)
    ElementTree.indent(root, "    ")
    document: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document + b"\n"


class _Tiers:
    """The tiers of a document, with the time slots and numbers that its annotations share."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._root, self._slots = root, ElementTree.SubElement(root, "TIME_ORDER")
        self.annotations = 0  # number of annotations so far, in all tiers

    def add_labels(self, name: str, segments: Sequence[TimelineSegment], names: Sequence[str]) -> None:
        """Add a tier of labels, and below it one of their probabilities."""
        tier = self._add_tier(name, name, _LABEL)
        identifiers = [self._add_segment(tier, each, names[each.best]) for each in segments]
        below = self._add_tier(f"{name} {_PROBABILITY}", name, _PROBABILITY, PARENT_REF=name)
        for identifier, segment in zip(identifiers, segments, strict=True):
            annotation = ElementTree.SubElement(below, "ANNOTATION")
            reference = {"ANNOTATION_ID": self._identifier(), "ANNOTATION_REF": identifier}
            element = ElementTree.SubElement(annotation, "REF_ANNOTATION", reference)
            ElementTree.SubElement(element, "ANNOTATION_VALUE").text = f"{segment.scores[segment.best]:.2f}"

    def add_values(self, name: str, person: str, segments: Sequence[TimelineSegment]) -> None:
        """Add a tier of the values of one dimension."""
        tier = self._add_tier(name, person, _VALUE)
        for segment in segments:
            self._add_segment(tier, segment, f"{segment.scores[0]:.{_DIGITS}f}")

    def _add_tier(self, name: str, person: str, kind: str, **more: str) -> ElementTree.Element:
        attributes = {"TIER_ID": name, "PARTICIPANT": person, "ANNOTATOR": AUTHOR, "LINGUISTIC_TYPE_REF": kind}
        return ElementTree.SubElement(self._root, "TIER", attributes | more)

    def _add_segment(self, tier: ElementTree.Element, segment: TimelineSegment, text: str) -> str:
        """Add an annotation on the video's time and return its identifier."""
        identifier = self._identifier()
        attributes = {"ANNOTATION_ID": identifier}
        for number, time_s in enumerate((segment.start_s, segment.stop_s), 1):
            slot = f"ts{len(self._slots) + 1}"
            ElementTree.SubElement(self._slots, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(round(1000 * time_s)))
            attributes[f"TIME_SLOT_REF{number}"] = slot
        annotation = ElementTree.SubElement(tier, "ANNOTATION")
        element = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", attributes)
        ElementTree.SubElement(element, "ANNOTATION_VALUE").text = single_line(text)
        return identifier

    def _identifier(self) -> str:
        self.annotations += 1
        return f"a{self.annotations}"


def _media(person: PersonPrediction, video: Path | None, out: Path) -> dict[str, str]:
    """Return where the video lies: as ELAN writes paths, without percent-encoding."""
    name = _as_xml(Path(person.path).name)
    kind = mimetypes.guess_type(name)[0] or "video/*"
    if video is None:
        return {"MEDIA_URL": name, "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{name}"}
    path = video.resolve()
    relative = Path(os.path.relpath(path, out.resolve().parent)).as_posix()
    relative = relative if relative.startswith("../") else f"./{relative}"
    return {
        "MEDIA_URL": f"file://{_as_xml(path.as_posix())}",
        "MIME_TYPE": kind,
        "RELATIVE_MEDIA_URL": _as_xml(relative),
    }


def _as_xml(path: str) -> str:
    """Return a path that XML can hold: as it is, but for characters that XML forbids, which become U+FFFD."""
    return _FORBIDDEN_IN_XML.sub("\ufffd", path)


def _add_types(root: ElementTree.Element, *, classes: bool) -> None:
    """Add the types of the tiers, and the rule that a probability belongs to one label."""
    for kind in (_LABEL, _PROBABILITY) if classes else (_VALUE,):
        hangs = {"CONSTRAINTS": "Symbolic_Association"} if kind == _PROBABILITY else {}
        attributes = {
            "LINGUISTIC_TYPE_ID": kind,
            "TIME_ALIGNABLE": str(not hangs).lower(),
            "GRAPHIC_REFERENCES": "false",
        }
        ElementTree.SubElement(root, "LINGUISTIC_TYPE", attributes | hangs)
    if classes:
        ElementTree.SubElement(
            root,
            "CONSTRAINT",
            STEREOTYPE="Symbolic_Association",
            DESCRIPTION="1-1 association with a parent annotation",
        )
