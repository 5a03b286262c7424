"""The faults of version 0.1.0 that the redesign mended, and the tests that show that they are gone.

What each of these tests asserts did not hold on the code before: it crashed, was silently wrong, or could not be asked
for. The table is data, so that anybody can run one line of it, and the tests below check that every named test exists.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LAB_CSV = "dataset_builder/contract/test_lab_csv.py"
VOCABULARIES = "trainers/test_vocabularies.py"
EVALUATION = "clinragen/evaluation/test_run.py"
FINGERPRINTS = "clinragen/pipeline/test_fingerprints.py"
IMPORTS = "clinragen/test_imports.py"
QUOTATIONS = "clinragen/claims/test_quotations.py"

# fault: (what was wrong, tests as file::function)
FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "A1": (
        "the lactate example of docs/data.md crashed `clinragen predict --labs`",
        (
            f"{LAB_CSV}::test_every_vocabulary_reads_its_own_columns_whichever_was_read_before",
            "docs/test_extending.py::test_the_vocabulary_folder_of_the_data_page",
            "clinragen/pipeline/test_vocabulary_end_to_end.py::test_a_csv_may_have_it_in_any_unit_of_its_file",
        ),
    ),
    "A2": (
        "after one CSV in the shipped vocabulary, one in an own vocabulary was refused",
        (
            f"{LAB_CSV}::test_every_vocabulary_reads_its_own_columns_whichever_was_read_before",
            "clinragen/claims/test_own_vocabulary.py::test_two_vocabularies_are_used_side_by_side",
        ),
    ),
    "A3": (
        "one thread's vocabulary was not seen by another thread",
        (f"{LAB_CSV}::test_two_threads_read_two_vocabularies_side_by_side",),
    ),
    "A4": (
        "a cohort whose variables stand in another order was silently misread by a parent model",
        (
            f"{VOCABULARIES}::test_a_parent_refuses_a_cohort_whose_variables_stand_in_another_order",
            f"{VOCABULARIES}::test_a_trainer_checks_what_a_split_shows_of_its_vocabulary",
            f"{VOCABULARIES}::test_a_parent_refuses_other_diseases_and_another_range_set",
            f"{EVALUATION}::test_a_cohort_of_another_vocabulary_is_refused_before_anything_is_generated",
            "clinragen/test_inference.py::test_a_series_of_another_vocabulary_is_refused_with_both_lists",
            "clinragen/demo/test_page.py::test_a_cohort_of_another_vocabulary_is_refused",
        ),
    ),
    "A5": (
        "the shipped vocabulary held, whatever the model was trained on",
        (
            "clinragen/test_inference.py::test_a_model_reads_a_csv_in_its_own_vocabulary",
            "modeling_clinragen/test_processing.py::test_a_processor_keeps_its_vocabulary_and_range_set",
            "clinragen/demo/test_page.py::test_a_csv_is_read_in_the_vocabulary_of_the_model",
            "test_architecture.py::test_the_shipped_vocabulary_is_taken_only_where_nobody_chose_one",
        ),
    ),
    "A6": (
        "fingerprints missed a wrong metric, and re-ran everything for a blank in a prompt or a batch size",
        (
            f"{FINGERPRINTS}::test_a_change_of_code_or_data_files_touches_the_stages_that_use_them",
            f"{FINGERPRINTS}::test_a_deciding_setting_reruns_its_stage_and_another_nothing",
            "dataset_builder/storage/test_code_fingerprint.py::test_a_build_depends_on_its_own_rooms_only",
        ),
    ),
    "A7": (
        "`range_set` never reached the evaluation, the page, the figures and the baselines",
        (
            "clinragen/evaluation/test_evaluation_rationale.py"
            "::test_claims_are_checked_with_the_range_set_of_the_cohort",
            f"{EVALUATION}::test_the_range_set_reaches_the_baseline",
            "clinragen/evaluation/test_report.py::test_variables_and_ranges_of_ones_own_reach_the_report",
            "clinragen/demo/test_page.py::test_a_patient_is_described_with_the_ranges_of_the_model",
            "clinragen/teachers/test_prompt.py::test_anomalies_and_measurements_are_of_one_range_set",
            "clinragen/teachers/test_write_cohort.py::test_the_summaries_are_of_the_range_set_of_the_rationales",
        ),
    ),
    "A8": (
        "`clinragen evaluate` on a synthetic cohort did not say that it is synthetic",
        (f"{EVALUATION}::test_the_notices_come_from_the_recipe_and_the_provenance",),
    ),
    "A9": (
        "`--seed` did not draw the split anew",
        (
            "dataset_builder/cohort/test_build_splits.py"
            "::test_the_seed_of_a_build_draws_the_split_anew_and_nothing_else",
            f"{FINGERPRINTS}::test_the_seed_reruns_every_stage_that_draws",
        ),
    ),
    "A10": (
        "a user's folder `evaluation/` broke `import clinragen`",
        (
            "test_architecture.py::test_an_installation_brings_our_packages_and_no_others",
            "clinragen/cli/test_beside_user_folders.py::test_the_command_answers",
            "clinragen/cli/test_beside_user_folders.py::test_a_stage_runs",
        ),
    ),
    "A11": (
        "`import clinragen` took seconds, and under another program name the Auto classes did not know the model",
        (
            f"{IMPORTS}::test_importing_the_package_loads_no_heavy_library",
            f"{IMPORTS}::test_the_auto_classes_know_the_model",
            f"{IMPORTS}::test_no_order_of_imports_breaks_one",
        ),
    ),
    "A12": (
        "filter, lexer and note checker disagreed on what a quotation is",
        (f"{QUOTATIONS}::test_the_three_readers_agree_on_what_a_quotation_is",),
    ),
    "A13": (
        "whether a past mention counts was read from the shipped knowledge, whatever base the run used",
        (
            f"{QUOTATIONS}::test_the_knowledge_of_the_run_says_whether_history_counts",
            f"{QUOTATIONS}::test_filter_and_judge_use_the_history_they_are_given",
        ),
    ),
}


def test_every_fault_is_in_the_table() -> None:
    assert list(FAULTS) == [f"A{number}" for number in range(1, 14)]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_tests_of_a_fault_exist(fault: str) -> None:
    _, tests = FAULTS[fault]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{test} is named for {fault}, but is not there"
