"""A saved model folder in a process without the package: code, weights and vocabulary are all in the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_inputs import in_layout

from modeling_clinragen import ClinRaGenModel, DiseaseListConstraint
from modeling_clinragen.grounded_clinragen import GroundedConstraint, TargetReader
from modeling_clinragen.grounding_clinragen import Facts
from modeling_clinragen.note_clinragen import BLANK
from modeling_clinragen.processing_clinragen import RATIONALE_MARK
from modeling_clinragen.profile_clinragen import FEWEST_EXAMPLES, InputProfile
from modeling_clinragen.series_statistics_clinragen import statistic_names
from modeling_clinragen.vocabulary_clinragen import Vocabulary

FRESH = """
import sys
sys.modules["modeling_clinragen"] = None
sys.modules["clinragen"] = None
import json
import numpy as np
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoModelForTextEncoding, AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module
for folder in sys.argv[1:]:
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    hours = np.arange(9.0)
    values = np.full((9, 12), np.nan); values[:, 3] = 120
    inputs = processor("Dyspnea and fever.", {"hours": hours, "values": values})
    for auto in (AutoModel, AutoModelForSeq2SeqLM):
        model = auto.from_pretrained(folder, trust_remote_code=True)
        assert "transformers_modules" in type(model).__module__
        print(model.generate(**inputs, max_new_tokens=10, do_sample=False).tolist())
    constraint = get_class_from_dynamic_module("generation_clinragen.DiseaseListConstraint", folder)
    allowed = [constraint(processor, AutoConfig.from_pretrained(folder, trust_remote_code=True))]
    print(model.generate(**inputs, max_new_tokens=10, do_sample=False, logits_processor=allowed).tolist())
    reader = get_class_from_dynamic_module("grounded_clinragen.TargetReader", folder)(processor, model.config)
    grounded = get_class_from_dynamic_module("grounded_clinragen.GroundedConstraint", folder)
    facts = get_class_from_dynamic_module("grounding_clinragen.Facts", folder)
    known = facts("Dyspnea and fever.", None, {"hours": hours, "values": values})
    allowed = [grounded(reader, [reader.grounding(known)], width=1, floor=0)]
    print(model.generate(**inputs, max_new_tokens=60, do_sample=False, logits_processor=allowed).tolist())
    print(json.dumps([processor.require_vocabulary().to_dict(), processor.range_set], sort_keys=True))
    clean = get_class_from_dynamic_module("note_clinragen.clean_note", folder)
    names = get_class_from_dynamic_module("series_statistics_clinragen.statistic_names", folder)
    ranges = processor.vocabulary.range_set(processor.range_set)
    report = processor.read_report("Dyspnea and fever. " * 900, None)
    unlike = processor.unlike(report)
    print(clean("a  [**Name**]"), len(names(processor.vocabulary.variable_keys, ranges)), report.sentence, unlike)
    body = AutoModelForTextEncoding.from_pretrained(folder, trust_remote_code=True)
    print(float(body(**inputs).last_hidden_state.norm()))
"""


def test_a_fresh_process_without_the_package_gives_the_same_output(
    make_model: Any, make_processor: Any, lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    values = np.full((9, 12), np.nan)
    values[:, 3] = 120
    folders, expected, norms = [], [], []
    ranges = lactate_vocabulary.range_set("clinical")
    statistics = len(statistic_names(lactate_vocabulary.variable_keys, ranges))
    for layout in ("patches", "paper"):
        folders.append(str(tmp_path / layout))
        model, processor = in_layout(layout, make_model, make_processor, vocabulary=lactate_vocabulary)
        processor.profile = InputProfile.of_reports(
            processor.read_reports(["Dyspnea."] * FEWEST_EXAMPLES, [None] * FEWEST_EXAMPLES), ()
        )
        model.save_pretrained(folders[-1])
        processor.save_pretrained(folders[-1])
        inputs = processor("Dyspnea and fever.", {"hours": np.arange(9.0), "values": values})
        asked = {"max_new_tokens": 10, "do_sample": False}
        plain = model.generate(**inputs, **asked).tolist()
        constraint = DiseaseListConstraint(processor, model.config)
        bound = model.generate(**inputs, **asked, logits_processor=[constraint]).tolist()
        assert plain != bound
        reader = TargetReader(processor, model.config)
        facts = Facts("Dyspnea and fever.", None, {"hours": np.arange(9.0), "values": values})
        allowed = [GroundedConstraint(reader, [reader.grounding(facts)], width=1, floor=0)]
        grounded = model.generate(**inputs, max_new_tokens=60, do_sample=False, logits_processor=allowed).tolist()
        assert RATIONALE_MARK in processor.tokenizer.decode(grounded[0])
        report = processor.read_report("Dyspnea and fever. " * 900, None)
        assert not report.whole
        assert processor.unlike(report)
        line = f"a {BLANK} {statistics} {report.sentence} {processor.unlike(report)}"
        saved = json.dumps([lactate_vocabulary.to_dict(), "clinical"], sort_keys=True)
        expected.append([str(plain), str(plain), str(bound), str(grounded), saved, line])
        body = ClinRaGenModel.from_pretrained(folders[-1])
        norms.append(body(**inputs).last_hidden_state.norm().item())
    environment = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *folders],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert [lines[:6], lines[7:13]] == expected
    assert [float(lines[6]), float(lines[13])] == pytest.approx(norms, rel=1e-5)
