"""One patient in, a diagnosis and its explanation out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.checking import CheckedText
from clinragen.claims.check import Checking
from clinragen.claims.sentences import CheckedSentence, Patient, check_sentences
from clinragen.explain_config import ExplainConfig
from clinragen.knowledge.base import KnowledgeBase
from clinragen.knowledge.reader import KNOWLEDGE, load_knowledge
from clinragen.shipped_model import shipped_model
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import ClinRaGenError, StageError
from trainers.device import resolve_device

if TYPE_CHECKING:
    from clinragen.verification import VerifiedRationale, Verifier
    from dataset_builder.fhir.one_patient import FhirPatient
    from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

CALIBRATED = "Probability, calibrated on validation patients"
LISTED = "Probability, given the other diseases listed (not calibrated)"


@dataclass(frozen=True)
class Explanation:
    """The model's answer for one patient.

    Args:
        diagnoses: Names of the diseases in the generated list.
        rationale: The rationale that is shown.
        sentences: Its sentences with their claims, verdicts, places in the note, and hours and values in the series.
        withheld: Sentences that the patient's data do not bear out; the rationale does not hold them.
        verified: Whether each shown sentence holds. Raw output is marked, and may hold sentences that do not.
        without_evidence: Of the diagnoses, those for which no sentence gives evidence that holds.
        warnings: What makes this answer less reliable: how the input is unlike the training data, and what of the
            note was not read.
        text: The whole generated text.
        problem: The format error of the text, if any.
        patient: The data.
        range_set: Name of what is low, normal and high.
        knowledge: Where the knowledge base comes from that says what supports which disease; None where there is none,
            so that no diagnosis can be shown to have evidence.
        probabilities: Where requested, the probability of each disease: the disease head's, which are calibrated, or
            without a head those given the others that the model listed (see `score_diseases`).
        probability_of: What these are, in words.
        thresholds: Where they are a disease head's, from which probability on each disease is listed.
        complete: Whether this is the whole answer, or what is certain of one that is being written.
    """

    diagnoses: tuple[str, ...]
    rationale: str
    sentences: tuple[CheckedSentence, ...]
    withheld: tuple[CheckedSentence, ...]
    verified: bool
    without_evidence: tuple[str, ...]
    warnings: tuple[str, ...]
    text: str
    problem: str | None
    patient: Patient
    range_set: str
    knowledge: str | None = None
    probabilities: Mapping[str, float] | None = None
    probability_of: str = LISTED
    thresholds: Mapping[str, float] | None = None
    complete: bool = True

    @property
    def asserted(self) -> tuple[str, ...]:
        """The diagnoses with evidence that holds."""
        return tuple(name for name in self.diagnoses if name not in self.without_evidence)

    @cached_property
    def checked(self) -> CheckedText:
        """The shown rationale as the renderers take it."""
        return CheckedText(
            self.rationale, self.sentences, self.patient, self.range_set, self.knowledge, self.diagnoses
        )


class Explainer:
    """A loaded model that explains single patients, on this machine only.

    Args:
        model, processor: A ClinRaGen model and its processor.
        config: How patients are explained.
        knowledge: What supports which disease; by default the shipped base where its diseases are the model's.

    Attributes:
        vocabulary: The model's variables and diseases.
        range_set: The normal ranges that its rationales are written with.

    Raises:
        SettingsError: The processor has no vocabulary, or another one than the model's config.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        config: ExplainConfig | None = None,
        knowledge: KnowledgeBase | None = None,
    ) -> None:
        self.vocabulary: Vocabulary = processor.require_vocabulary(model.config, "the model")
        self.range_set: RangeSet = self.vocabulary.range_set(processor.range_set)
        self.model = model.eval()
        self.processor = processor
        self.config = config if config is not None else ExplainConfig()
        knowledge = knowledge if knowledge is not None else _shipped_knowledge(self.vocabulary)
        self.checking = Checking(self.vocabulary, self.range_set, knowledge)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, config: ExplainConfig | None = None, **settings: Any
    ) -> Explainer:
        """Load a model, with the knowledge base in its folder.

        Args:
            folder: The folder, or `hf://owner/name` for a model on the Hub; by default the shipped model, which
                learned from synthetic patients only.
            config: How patients are explained; or give its settings as keywords, such as `probabilities=True`.

        Raises:
            InputDataError: There is no such folder, the checkpoint lacks weights, or its knowledge base is malformed.
            SettingsError: An older version wrote the folder, which has no vocabulary; or there is no such device.
            StageError: There is no ClinRaGen model, or one that needs foreign code or pickled weights.
        """
        folder = shipped_model() if folder is None else folder
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoProcessor

        from modeling_clinragen.loading_clinragen import load_part, load_weights
        from modeling_clinragen.pretrained_clinragen import require_whole
        from modeling_clinragen.registration import register_auto_classes

        register_auto_classes()
        try:
            model, found = load_weights(AutoModel, folder, output_loading_info=True)
            processor = load_part(AutoProcessor, folder)
        except ClinRaGenError:
            raise
        except (OSError, ValueError, SafetensorError) as error:
            raise StageError(
                f"{folder}: no model could be loaded; give a folder that `clinragen train` or `quickstart` made"
            ) from error
        if model.config.model_type != "clinragen":
            raise StageError(f"{folder}: is a '{model.config.model_type}' model; give a ClinRaGen model")
        require_whole(folder, found)
        if model.config.lora is not None:
            # Nothing is trained any more, and a separate adapter costs a sixth of every token's time.
            model.merge_adapters()
        chosen = config if config is not None else ExplainConfig(**settings)
        model.to(resolve_device(chosen.device))
        file = _knowledge_file(folder)
        vocabulary = processor.require_vocabulary(model.config, str(folder))
        knowledge = load_knowledge(file, vocabulary) if file is not None else None
        return cls(model, processor, chosen, knowledge)

    def read_labs(self, path: Path) -> LabSeries:
        """Read a CSV of labs and vitals in the model's vocabulary, thinned to the rows that the model reads.

        Raises:
            InputDataError: The file is malformed, or has a column that is not one of the model's variables; the
                message names the row or lists the known columns.
        """
        return read_lab_csv(path, self.vocabulary, at_most=self.processor.feature_extractor.max_steps)

    def read_fhir(self, path: Path) -> FhirPatient:
        """Read one patient's FHIR resources: the note, and the measurements in the model's vocabulary.

        Raises:
            InputDataError: The file cannot be read, or is of several patients; see
                `dataset_builder.fhir.one_patient.read_patient`.
        """
        from dataset_builder.fhir.one_patient import read_patient
        from dataset_builder.sources.fhir_terms import fhir_terms

        terms = fhir_terms(shipped_definitions())
        return read_patient(path, self.vocabulary, terms, at_most=self.processor.feature_extractor.max_steps)

    def explain(self, note: str | None, series: LabSeries | None) -> Explanation:
        """Diagnose one patient.

        Args:
            note: The note; "" or None where there is none.
            series: The measurements in the model's vocabulary, or None where there are none.

        Raises:
            ModelInputError, SettingsError: As `patient`; or the model has no diseases, or its layout does not allow to
                score them.
        """
        return self.explain_many([self.patient(note, series)])[0]

    def patient(self, note: str | None, series: LabSeries | None) -> Patient:
        """One patient as the model can read it; see `explain`.

        Raises:
            ModelInputError: There is neither a note nor a measurement, the note is too long, or the series is too
                long for the model (see `ClinRaGenLabFeatureExtractor.checked`).
            SettingsError: The series has other variables than the model or another order or units of them (the message
                has both lists).
        """
        from modeling_clinragen.reading_clinragen import require_input

        if series is not None:
            # A series says nothing about diseases, so only the variables are compared.
            measured = replace(series.vocabulary, diseases=self.vocabulary.diseases)
            self.vocabulary.require_same(measured, "the model", "the series")
            series = replace(series, vocabulary=self.vocabulary)
        known = series if series is not None else LabSeries.empty(self.vocabulary)
        require_input(note, given := _given(known))
        if given is not None:
            self.processor.feature_extractor.checked(**given)
        return Patient(known, note or None)

    def explain_stream(self, note: str | None, series: LabSeries | None) -> Iterator[Explanation]:
        """Diagnose one patient, and yield what is certain as soon as it is.

        The probabilities of a disease head come first, then the sentences one after the other: each that is yielded
        stays. The last explanation is that of `explain`, and the only one that is `complete`; the diseases that are
        listed, and which of them have no evidence, are said by it alone.

        Raises:
            ModelInputError, SettingsError: As `explain`; at the first step of the iteration.
        """
        from clinragen.verification.result import VerifiedRationale
        from clinragen.verification.stream import stream_verified

        patient = self.patient(note, series)
        given = _given(patient.series)
        (about,) = self._about([patient], [given])
        if self.config.probabilities and self.model.disease_head is not None:
            about |= self._probable(patient, given, ())
        written = VerifiedRationale((), (), (), "")
        yield replace(self._explained(patient, written), complete=False, **about)
        if self.config.raw:
            yield self._whole(self._raw(patient, given), given, about)
            return
        for written in stream_verified(self._verifier, patient):
            certain = replace(written, diagnoses=(), problem=None)
            yield replace(self._explained(patient, certain), complete=False, **about)
        yield self._whole(self._explained(patient, written), given, about)

    def explain_many(self, patients: Sequence[Patient]) -> list[Explanation]:
        """Diagnose patients in batches; each gets what it would get alone.

        Args:
            patients: As `patient` makes them.

        Raises:
            SettingsError: The model has no diseases, or its layout does not allow to score them.
        """
        given = [_given(patient.series) for patient in patients]
        answers = (
            [self._raw(*pair) for pair in zip(patients, given, strict=True)]
            if self.config.raw
            else self._verified(patients)
        )
        abouts = self._about(patients, given)
        return [self._whole(*one) for one in zip(answers, given, abouts, strict=True)]

    def _about(self, patients: Sequence[Patient], given: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
        """Of each patient's explanation what is known without any generated text."""
        knowledge = self.checking.knowledge
        abouts = []
        for patient, report in zip(
            patients, self.processor.read_reports([patient.note for patient in patients], given), strict=True
        ):
            part = () if report.whole else (f"The note is longer than the model reads: {report.sentence}.",)
            abouts.append(
                {
                    "warnings": (*patient.series.remarks, *part, *self.processor.unlike(report)),
                    "knowledge": None if knowledge is None else knowledge.origin,
                    "probability_of": self.probability_of,
                }
            )
        return abouts

    def _whole(self, answer: Explanation, given: Mapping[str, Any] | None, about: Mapping[str, Any]) -> Explanation:
        """An explanation with what is said about it, and its probabilities."""
        if self.config.probabilities and "probabilities" not in about:
            about = {**about, **self._probable(answer.patient, given, answer.diagnoses)}
        return replace(answer, **about)

    @property
    def probability_of(self) -> str:
        """The kind of the model's probabilities, in words."""
        return LISTED if self.model.disease_head is None else CALIBRATED

    @cached_property
    def _verifier(self) -> Verifier:
        from clinragen.verification import Verifier, VerifyConfig

        return Verifier(self.model, self.processor, self.checking, VerifyConfig(num_beams=self.config.num_beams))

    def _verified(self, patients: Sequence[Patient]) -> list[Explanation]:
        return [self._explained(*one) for one in zip(patients, self._verifier.generate(patients), strict=True)]

    def _explained(self, patient: Patient, found: VerifiedRationale) -> Explanation:
        return Explanation(
            diagnoses=found.diagnoses,
            rationale=found.rationale,
            sentences=found.sentences,
            withheld=found.withheld,
            verified=True,
            without_evidence=_without_evidence(found.diagnoses, found.sentences, self.vocabulary),
            warnings=(),
            text=found.draft,
            problem=found.problem,
            patient=patient,
            range_set=self.range_set.name,
        )

    def _raw(self, patient: Patient, given: Mapping[str, Any] | None) -> Explanation:
        from modeling_clinragen.diagnosing_clinragen import write_targets

        options = {"do_sample": False, "num_beams": self.config.num_beams}
        text = write_targets(self.model, self.processor, [(patient.note, given)], **options)[0]
        parsed = self.processor.parse(text)
        sentences = tuple(check_sentences(parsed.rationale, patient, self.checking, parsed.diagnoses))
        return Explanation(
            diagnoses=parsed.diagnoses,
            rationale=parsed.rationale,
            sentences=sentences,
            withheld=(),
            verified=False,
            without_evidence=_without_evidence(parsed.diagnoses, sentences, self.vocabulary),
            warnings=(),
            text=text,
            problem=parsed.problem,
            patient=patient,
            range_set=self.range_set.name,
        )

    def _inputs(self, patient: Patient, given: Mapping[str, Any] | None) -> Any:
        return self.processor(note=[patient.note or ""], series=[given], warn=False).to(self.model.device)

    def _probable(
        self, patient: Patient, given: Mapping[str, Any] | None, listed: tuple[str, ...]
    ) -> dict[str, Mapping[str, float] | None]:
        """The probabilities of the diseases, and a head's thresholds."""
        from modeling_clinragen.diagnosing_clinragen import diagnose_patients
        from modeling_clinragen.disease_head_clinragen import MODALITIES
        from modeling_clinragen.generation_clinragen import score_diseases

        diseases, head = self.model.config.diseases, self.model.disease_head
        if head is not None:
            found = diagnose_patients(self.model, self.processor, [(patient.note, given)])[0]
            limits = head.thresholds[MODALITIES.index(self.processor.modality(patient.note, given))]
            return {
                "probabilities": dict(zip(diseases, found.tolist(), strict=True)),
                "thresholds": dict(zip(diseases, limits.tolist(), strict=True)),
            }
        # Raw output may hold a name that is not in the model's vocabulary.
        known = [name for name in listed if name in diseases]
        scores = score_diseases(self.model, self.processor, dict(self._inputs(patient, given)), [known])
        return {"probabilities": dict(zip(diseases, scores[0].tolist(), strict=True)), "thresholds": None}


def _given(series: LabSeries) -> dict[str, Any] | None:
    """A series as the processor takes it; None without a measurement."""
    return {"hours": series.hours, "values": series.values} if series.observed.any() else None


def _without_evidence(
    diagnoses: tuple[str, ...], sentences: tuple[CheckedSentence, ...], vocabulary: Vocabulary
) -> tuple[str, ...]:
    cited = {claim.disease for sentence in sentences for claim in sentence.supported_ties}
    return tuple(name for name in diagnoses if vocabulary.key_of_disease.get(name) not in cited)


def _shipped_knowledge(vocabulary: Vocabulary) -> KnowledgeBase | None:
    shipped = shipped_definitions().vocabulary
    same = shipped.variable_keys == vocabulary.variable_keys and shipped.disease_names == vocabulary.disease_names
    return load_knowledge(None, vocabulary) if same else None


def _knowledge_file(folder: str | Path) -> Path | None:
    """The knowledge base of a model, where it has one."""
    from modeling_clinragen.loading_clinragen import locate

    source, where = locate(folder)
    if where["local_files_only"]:
        file = Path(folder) / KNOWLEDGE
        return file if file.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(source, KNOWLEDGE, **where))
    except EntryNotFoundError:
        return None
