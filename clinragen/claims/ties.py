"""Checks the tie between evidence and a disease: does the knowledge base take this for a sign of that disease?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clinragen.claims.arguments import Argument, Quoted
from clinragen.claims.directions import OPPOSITES, directions_of
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.patient_evidence import KnowledgeEvidence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence, Statement
from clinragen.knowledge.mentions import Known, Mention
from modeling_clinragen.note_clinragen import find_spans
from modeling_clinragen.vocabulary_clinragen import RangeSet

# A quotation that is only a part of a mention stands for it if it has this share of its characters, or its last word.
PART = 0.5
LAST_WORD = 4
_FAULTS: Mapping[str, tuple[str, str]] = {
    "negated": (CONTRADICTED, "the quotation itself negates it"),
    "family": (CONTRADICTED, "the quotation is about a relative"),
    "hypothetical": (CONTRADICTED, "the quotation is about what may come"),
    "historical": (CONTRADICTED, "the quotation is about the past only"),
    "value": (CONTRADICTED, "the number is not beyond the limit of the knowledge base"),
    "uncertain": (UNVERIFIABLE, "the quotation leaves it open"),
    "number": (UNVERIFIABLE, "the quotation has no number to judge by"),
}
Judged = tuple[str, Evidence]


class TieChecker:
    """Checks ties by one patient's data and a knowledge base.

    Args:
        evidence: What the base finds in the patient's data.
        range_set: What is low, normal and high.
        lexicon: Names of the diseases, and units.
        names: Names of the diseases by key.
    """

    def __init__(
        self, evidence: KnowledgeEvidence, range_set: RangeSet, lexicon: Lexicon, names: Mapping[str, str]
    ) -> None:
        self._evidence = evidence
        self._range_set = range_set
        self._lexicon = lexicon
        self._names = names
        self._known: dict[str, list[Known]] = {}
        self._places: dict[str, list[tuple[int, int]]] = {}

    def check(self, argument: Argument, text: str) -> list[Claim]:
        """One claim for each piece of evidence and each disease of an argument, as `kind` "tie".

        A quotation is one piece of evidence, and so is everything that is said of one variable. Of an argument that
        denies the support the verdicts are the other way round, and the kind is "absence".
        """
        claims = []
        for key in argument.diseases:
            for quoted in argument.quotations:
                claims.append(self._claim(argument, text, key, None, self.judge_quotation(quoted, key)))
            for variables, statements in _by_subject(argument.statements):
                variable, judged = self._judge_any(variables, statements, key)
                claims.append(self._claim(argument, text, key, variable, judged))
        return claims

    def _claim(self, argument: Argument, text: str, key: str, variable: str | None, judged: Judged) -> Claim:
        verdict, evidence = judged
        if argument.negated:
            verdict = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(verdict, verdict)
        kind = "absence" if argument.negated else "tie"
        words = text[slice(*argument.span)]
        return Claim(words, argument.span, variable, kind, verdict, evidence, negated=argument.negated, disease=key)

    def judge_quotation(self, quoted: Quoted, key: str) -> Judged:
        """The verdict on a quotation as evidence for a disease."""
        if quoted.words not in self._known:
            self._known[quoted.words] = self._evidence.finder.known(quoted.words) if self._evidence.finder else []
        known = self._known[quoted.words]
        own = [one for one in known if one.disease == key]
        sound = next((one for one in own if one.cited and not one.fault), None)
        others = dict.fromkeys(one.disease for one in known if one.cited and not one.fault)
        mention = None if sound is not None else self._mention_around(quoted.words, key)
        if mention is not None and others and not own and not find_spans(quoted.words, mention.quote):
            mention = None  # "hypertension" out of "portal hypertension" is something else
        if sound is not None or mention is not None:
            term = sound.term if sound is not None else mention.term if mention is not None else ""
            spans = ((mention.start, mention.end),) if mention is not None else ()
            if quoted.denied:
                return CONTRADICTED, Evidence(f"the absence of {term} does not support it", spans=spans)
            return SUPPORTED, Evidence(f"the knowledge base ties {term} to it", spans=spans)
        for one in own:
            if one.cited:
                verdict, reason = _FAULTS[one.fault]
                return verdict, Evidence(reason)
        if own:
            return UNVERIFIABLE, Evidence(f"by the knowledge base, {own[0].term} is too common to support it")
        if others and not quoted.denied:
            return CONTRADICTED, Evidence(f"the knowledge base ties this to {self._listed(others)} instead")
        return UNVERIFIABLE, Evidence("the knowledge base does not know this")

    def _mention_around(self, words: str, key: str) -> Mention | None:
        """A mention of the disease in the note that the quotation is a part of, or contains."""
        mentions = self._evidence.mentions.get(key, ())
        if mentions and words not in self._places:
            self._places[words] = find_spans(self._evidence.note, words)
        for start, end in self._places[words] if mentions else ():
            for mention in mentions:
                inside = mention.start <= start and end <= mention.end
                enough = end - start >= PART * (mention.end - mention.start)
                if inside and (enough or (end == mention.end and end - start >= LAST_WORD)):
                    return mention
                if start <= mention.start and mention.end <= end:
                    return mention
        return None

    def _judge_any(self, variables: tuple[str, ...], statements: Sequence[Statement], key: str) -> tuple[str, Judged]:
        """The best verdict on any of the variables that the statements are about."""
        order = (SUPPORTED, UNVERIFIABLE, CONTRADICTED)
        judged = [(variable, self.judge_variable(variable, statements, key)) for variable in variables]
        return min(judged, key=lambda one: order.index(one[1][0]))

    def judge_variable(self, variable: str, statements: Sequence[Statement], key: str) -> Judged:
        """The verdict on what is said of a variable as evidence for a disease."""
        said = directions_of(statements, variable, self._range_set, self._lexicon)
        own = self._evidence.directions.get((key, variable), frozenset())
        if not said:
            return UNVERIFIABLE, Evidence("the sentence gives the variable no direction")
        fitting = sorted(said & own)
        rare = [one for one in fitting if one in ("low", "high") and (variable, one) not in self._evidence.findings]
        if fitting and fitting == rare:
            return UNVERIFIABLE, Evidence("too few of its readings are so for a sign")
        if fitting:
            return SUPPORTED, Evidence(f"the knowledge base takes it for a sign of it: {fitting[0]}")
        against = {opposite for one in said for opposite in OPPOSITES.get(one, ())}
        if own and own <= against:
            return CONTRADICTED, Evidence(f"the knowledge base has the opposite as a sign of it: {sorted(own)[0]}")
        others = dict.fromkeys(name for one in said for name in self._evidence.signs_of.get((variable, one), ()))
        if others and not own:
            return CONTRADICTED, Evidence(f"the knowledge base takes it for a sign of {self._listed(others)} instead")
        return UNVERIFIABLE, Evidence("the knowledge base does not know it as a sign")

    def _listed(self, keys: Mapping[str, None]) -> str:
        names = [self._names[key] for key in keys]
        return " or ".join(names[:2]) + (" or others" if len(names) > 2 else "")


def _by_subject(statements: Sequence[Statement]) -> list[tuple[tuple[str, ...], list[Statement]]]:
    """The statements by the variables that they are about."""
    groups: dict[tuple[str, ...], list[Statement]] = {}
    for statement in statements:
        groups.setdefault(statement.subject.variables, []).append(statement)
    return list(groups.items())
