"""Trickling our candidates to a client (RFC 8838).

A description contains the candidates found before it leaves. Later ones follow as messages. No candidate may
overtake its description, because a browser could not use it yet.
"""

from dataclasses import dataclass, field

from sfu.conference.messages import IceCandidate
from sfu.sdp import SessionDescription


@dataclass(slots=True)
class _GenerationCandidates:
    found: list[str] = field(default_factory=list)
    complete: bool = False
    told: int = 0
    """How many of those found the client knows."""
    told_end: bool = False


class Trickle:
    """The candidates of one connection, by the user-name fragment of their generation."""

    def __init__(self) -> None:
        self._generations: dict[str, _GenerationCandidates] = {}
        self._described: str | None = None
        self._mid = ""
        self._index = 0

    def begin(self, ufrag: str) -> None:
        """Begin a generation of credentials. Of the older ones, keep only the one that the client knows."""
        kept = {name: one for name, one in self._generations.items() if name == self._described}
        self._generations = kept | {ufrag: _GenerationCandidates()}

    def found(self, ufrag: str, candidate: str | None) -> tuple[tuple[str, ...], bool] | None:
        """Note a candidate, or with `None` that there are no more.

        Return all of that generation so far, and whether these are all; `None` for a generation that is over.
        """
        generation = self._generations.get(ufrag)
        if generation is None:
            return None
        if candidate is None:
            generation.complete = True
        else:
            generation.found.append(candidate)
        return tuple(generation.found), generation.complete

    def described(self, text: str) -> None:
        """Note a description of ours: its candidates need no message."""
        description = SessionDescription.parse(text)
        for index, media in enumerate(description.media):
            # The tagged m-line (RFC 9143 section 7.1.3) has the transport of all.
            if description.groups and media.mid == description.groups[0].mids[0]:
                generation = self._generations.get(media.ice_ufrag or "")
                if generation is not None:
                    self._described, self._mid, self._index = media.ice_ufrag, media.mid or "", index
                    generation.told = len(media.candidates)
                    generation.told_end = media.end_of_candidates

    def retransmit(self) -> None:
        """Send all messages again: earlier ones may be lost. Receiving a candidate twice does no harm."""
        for generation in self._generations.values():
            generation.told = 0
            generation.told_end = False

    def take(self) -> list[IceCandidate]:
        """Return the messages that are due: candidates found since the description left, and their end."""
        generation = self._generations.get(self._described or "")
        if generation is None:
            return []
        # The fragment tells a client that restarts meanwhile which generation is meant (RFC 8838 section 11).
        texts = [f"{text} ufrag {self._described}" for text in generation.found[generation.told :]]
        generation.told = len(generation.found)
        if generation.complete and not generation.told_end:
            generation.told_end = True
            texts.append("")
        return [IceCandidate(text, self._mid, self._index) for text in texts]
