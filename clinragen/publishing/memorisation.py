"""Which words of generated texts come from the notes of other patients: memorised sequences, names and numbers.

A sequence of words counts as memorised where it stands in a text about a patient, not in that patient's own notes, and
in the notes of at least one and of fewer than k other patients of the training cohort: what more of them share is a
phrase of the hospital. Names and long numbers point to a person, so they count whatever number of patients has them.

Time and memory are linear in the words: only the sequences that the generated texts hold are counted in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clinragen.publishing.config import MemorisationConfig

# Letters and digits, with an apostrophe or hyphen inside: "Vandersteen-Quill" and "60718293" are one word each.
WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
ABBREVIATED = frozenset(("mr", "mrs", "ms", "mx", "dr", "prof"))
PERSONS = ("wife", "husband", "mother", "father", "son", "daughter", "brother", "sister", "patient", "nurse", "named")
TITLES = frozenset((*ABBREVIATED, "miss", "professor", "doctor", *PERSONS))
"""Words behind which a name stands; behind the abbreviated ones there may be a full stop between."""
FEWEST_DIGITS = 6
"""From so many digits on a number is an identifier or a telephone number, not a measurement."""
_SENTENCE_START = re.compile(r"[.!?:;\n*#()\[\]\"]|(?:^|\s)-")


@dataclass(frozen=True)
class Overlap:
    """Consecutive words of a generated text that few other patients' notes have.

    Args:
        example: Name of the text.
        words: The words, case-folded.
        patients: Number of other patients in whose notes its rarest part stands.
    """

    example: str
    words: str
    patients: int


@dataclass(frozen=True)
class PersonalWord:
    """A name or an identifying number of another patient in a generated text.

    Args:
        example: Name of the text.
        word: The word, case-folded.
        patients: Number of other patients in whose notes it stands, at most k; 0 for a name that was given.
    """

    example: str
    word: str
    patients: int


@dataclass(frozen=True)
class Memorised:
    """Memorised words that were found. Its texts come from patients' notes: `sentence` has counts alone.

    Args:
        texts: Number of generated texts that were looked at.
        patients: Number of patients whose notes they were compared with.
        overlaps, names: What was found in the texts.
        tokens: Tokens of the tokenizer that fewer than k patients' texts hold, with the number of patients.
    """

    texts: int
    patients: int
    overlaps: Sequence[Overlap] = ()
    names: Sequence[PersonalWord] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether anything was found."""
        return bool(self.overlaps or self.names or self.tokens)

    @property
    def sentence(self) -> str:
        """The counts in words, without anything of a patient."""
        return (
            f"{len(self.overlaps)} overlaps with other patients' notes, {len(self.names)} names or numbers of theirs "
            f"and {len(self.tokens)} rare tokens, in {self.texts} texts against the notes of {self.patients} patients"
        )


@dataclass(frozen=True)
class GeneratedText:
    """A text that a model or a teacher wrote about a patient.

    Args:
        example: Its name in a report.
        patient: Whom it is about.
        text: The text.
    """

    example: str
    patient: Hashable
    text: str


def find_memorised(
    generated: Iterable[GeneratedText],
    training: Iterable[tuple[Hashable, str]],
    own: Iterable[tuple[Hashable, str]],
    config: MemorisationConfig | None = None,
    *,
    names: Iterable[str] = (),
    known: Iterable[str] = (),
) -> Memorised:
    """Compare generated texts with the notes of other patients.

    Args:
        generated: The texts.
        training: Notes of the training cohort with the patient whom each is about.
        own: Notes of the patients whom the texts are about: a text may say what its own patient's notes say. Notes of
            the same patients among `training` count as their own as well.
        config: From how many words on, and which number of patients is few.
        names: Names that no text may hold unless its patient's own notes do, such as planted ones.
        known: Texts whose words are not names, such as terms of medicine.
    """
    config = config if config is not None else MemorisationConfig()
    texts = list(generated)
    length, few = config.overlap_words, config.fewest_patients
    words_of = [_words(one.text) for one in texts]
    patients = {one.patient for one in texts}
    own_grams: dict[Hashable, set[tuple[str, ...]]] = {patient: set() for patient in patients}
    own_words: dict[Hashable, set[str]] = {patient: set() for patient in patients}
    wanted: dict[tuple[str, ...], set[Hashable]] = {}
    for words in words_of:
        wanted.update((gram, set()) for gram in _grams(words, length))
    seen = _SeenWords({word for words in words_of for word in words}, few)
    trained = set()

    def keep_own(patient: Hashable, folded: Sequence[str]) -> None:
        if patient in patients:
            own_words[patient].update(folded)
            own_grams[patient].update(gram for gram in _grams(folded, length) if gram in wanted)

    for patient, note in training:
        trained.add(patient)
        folded = seen.read(patient, note)
        for gram in _grams(folded, length):
            holders = wanted.get(gram)
            # One more than few: one of them may be the text's own patient.
            if holders is not None and len(holders) <= few:
                holders.add(patient)
        keep_own(patient, folded)
    for patient, note in own:
        keep_own(patient, _words(note))
    given = {tuple(_words(name)) for name in names} - {()}
    medical = {word for text in known for word in _words(text)}
    overlaps: list[Overlap] = []
    personal: dict[PersonalWord, None] = {}
    for one, words in zip(texts, words_of, strict=True):
        rare = {}
        for place, gram in enumerate(_grams(words, length)):
            others = len(wanted[gram] - {one.patient})
            if 0 < others < few and gram not in own_grams[one.patient]:
                rare[place] = others
        overlaps += [
            Overlap(one.example, " ".join(words[start : end + length]), min(rare[at] for at in range(start, end + 1)))
            for start, end in _runs(rare)
        ]
        mine = own_words[one.patient]
        for word in dict.fromkeys(words):
            count = 0 if word in mine or word in medical else seen.personal(word, one.patient)
            if count:
                personal[PersonalWord(one.example, word, count)] = None
        for name in given:
            if any(tuple(words[at : at + len(name)]) == name for at in range(len(words))) and not mine >= set(name):
                personal[PersonalWord(one.example, " ".join(name), 0)] = None
    return Memorised(len(texts), len(trained), tuple(overlaps), tuple(personal))


def _words(text: str) -> list[str]:
    return [found.group().casefold() for found in WORD.finditer(text)]


def _grams(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))


def _runs(places: Mapping[int, int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive places, which come in order."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and place == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


class _SeenWords:
    """How the notes write the words of the generated texts: what the finder of names decides by."""

    def __init__(self, wanted: set[str], few: int) -> None:
        self._holders: dict[str, set[Hashable]] = {word: set() for word in wanted}
        self._few = few
        self._lower: set[str] = set()
        self._within: set[str] = set()
        self._titled: set[str] = set()

    def read(self, patient: Hashable, note: str) -> list[str]:
        """The words of a note, case-folded; remembers how it writes those of the generated texts."""
        folded = []
        before, end, named = "", 0, False
        for found in WORD.finditer(note):
            word, gap = found.group(), note[end : found.start()]
            plain, first = word.casefold(), end == 0
            folded.append(plain)
            # As a name is written: "Ottokar", "Vandersteen-Quill", not "CABG".
            capital = word[0].isupper() and not word.isupper()
            blank = not gap.strip() or (before in ABBREVIATED and gap.strip() == ".")
            named = capital and blank and (named or before in TITLES)
            before, end = plain, found.end()
            holders = self._holders.get(plain)
            if holders is None:
                continue
            if len(holders) <= self._few:
                holders.add(patient)
            if not capital:
                self._lower.add(plain)
            elif named:
                self._titled.add(plain)
            elif not first and not _SENTENCE_START.search(gap):
                self._within.add(plain)
        return folded

    def personal(self, word: str, patient: Hashable) -> int:
        """In how many other patients' notes a name or an identifying number stands; 0 for any other word."""
        others = len(self._holders[word] - {patient})
        if sum(character.isdigit() for character in word) >= FEWEST_DIGITS:
            return others
        if word in self._lower or len(word) < 3:
            return 0
        rare = word in self._within and others < self._few
        return others if word in self._titled or rare else 0
