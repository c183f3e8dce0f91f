"""What all tests share: several host devices, warnings as errors, no display."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

#: Devices for the tests of sharded rows; must be set before jax is imported.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4"]
).strip()
os.environ["MPLBACKEND"] = "Agg"
# Workers, and what was forgotten by one of them, share what is compiled in this run; the folder ends with it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxglm-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
# Each worker of pytest-xdist keeps to one core, so that XLA's threads of one do not wait for those of another.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and hasattr(os, "sched_setaffinity"):
    CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
# Tables and loaders that tests import lie beside them.
sys.path[:0] = [
    str(Path(__file__).parent / folder) for folder in ("reference", "laws", "errors", "formula", "unit", "contract")
]

import pytest  # noqa: E402

#: Compiled programs hold memory maps, of which Linux gives a process 65,530; then the compiler crashes.
MOST_MAPS = 30_000
TESTS_BETWEEN_LOOKS = 20
_tests_run = 0


#: Slow cases whose law other cases of the same test or a neighbor hold as well. `make test` leaves them out on its way
#: to a quarter of an hour on two cores; `make test-all` runs them. A case that is only the first to use a fixture or
#: to compile what others need as well takes its seconds to the next of them: leave out all or none.
EXTRA = (
    "test_sampled.py::test_few_passes_give_the_same_fit[gamma, log]",
    "test_sampled.py::test_where_products_are_dear_fewer_rows_go_by_gradients[logit]",
    "test_sampled.py::test_where_products_are_dear_fewer_rows_go_by_gradients[poisson with an exposure]",
    "test_sampled.py::test_rows_that_are_alike_are_taken_together[poisson]",
    "test_precision.py::test_single_precision_says_how_far_it_came[probit]",
    "test_functional.py::test_equals_the_fit_of_arrays[probit]",
    "laws/test_groups.py::test_the_large_groups_need_no_fit_of_their_own[probit]",
    "laws/test_groups.py::test_the_large_groups_need_no_fit_of_their_own[known alpha]",
    "test_tests.py::test_tables_are_those_of_r[probit]",
    "test_tests.py::test_single_tests_are_those_of_r[probit]",
    "reference/test_influence.py::test_measures_agree_with_r[probit]",
    "reference/test_margins.py::test_averages[probit]",
    "test_covariances.py::test_r[probit]",
    "test_cases.py::test_every_figure_agrees[proportion_trials_probit]",
    "test_cases.py::test_every_figure_agrees[ref07_swisslabor_probit]",
    "test_oracle.py::test_random_formulas_equal_formulaic[1]",
    "test_oracle.py::test_random_formulas_equal_formulaic[2]",
    "test_sources.py::test_every_kernel_gives_the_same[mesh of 4 in chunks of 64]",
    "test_sampled.py::test_few_passes_give_the_same_fit[negative binomial]",
    "test_sampled.py::test_few_passes_give_the_same_fit[probit]",
    "test_sampled.py::test_few_passes_give_the_same_fit[probit, observed]",
    "test_sampled.py::test_where_products_are_dear_fewer_rows_go_by_gradients[probit, observed]",
    "test_sampled.py::test_memory_that_starts_anywhere[0-C]",
    "test_families.py::test_negative_binomial_with_alpha_estimated[0.001]",
    "laws/test_groups.py::test_every_group_is_as_if_fitted_alone[probit]",
    "laws/test_groups.py::test_every_group_is_as_if_fitted_alone[known alpha]",
    "test_functional.py::test_derivatives_are_those_of_refits[probit]",
    "test_functional.py::test_counts_that_vary_too_little",
    "test_solvers.py::test_gradients_end_as_the_exact_solver_does[negative binomial-lbfgs]",
    "test_sources.py::test_every_kernel_gives_the_same[stream over a mesh of 2]",
    "test_sources.py::test_every_kernel_gives_the_same[array in chunks of 67]",
    "test_sources.py::test_every_kernel_gives_the_same[mesh of 4]",
    "test_precision.py::test_mixed_keeps_seven_digits[probit]",
    "test_precision.py::test_many_rows_take_few_passes_in_any_precision",
    "test_margins.py::test_alpha_is_no_part_of_the_mean",
    "test_margins.py::test_averages[negative binomial]",
    "test_covariances.py::test_r[negative binomial]",
    "test_together.py::test_probability_weights_have_no_unit",
    "test_many.py::test_hard_responses_change_no_other",
    "test_many.py::test_each_candidate_is_fitted_as_if_alone",
    "test_forecast.py::test_intervals_cover",
    "test_profile.py::test_limits_are_those_of_r[negative_binomial]",
    "test_plots.py::test_a_family_of_two_predictors_without_a_distribution_has_what_it_can",
    "test_roofline.py::",
    "test_sampled.py::test_memory_that_starts_anywhere[1-C]",
    "test_sampled.py::test_few_passes_give_the_same_fit[gaussian]",
    "test_sampled.py::test_means_of_levels_are_nearer_than_starting_values[gamma, log]",
    "test_sampled.py::test_means_of_levels_are_the_estimates_of_one_factor[gamma, log-f]",
    "test_sampled.py::test_means_of_levels_are_the_estimates_of_one_factor[poisson with an exposure-C(f, Sum)]",
    "test_functional.py::test_derivatives_are_those_of_refits[gamma log]",
    "test_families.py::test_distribution_function_of_samples_is_uniform[tweedie 1.2]",
    "test_newton.py::test_all_solvers_reach_one_optimum[probit]",
    "test_profile.py::test_limits_are_those_of_r[probit]",
    "test_delta.py::test_doses_are_those_of_mass[probit]",
    "test_precision.py::test_single_precision_says_how_far_it_came[negative binomial]",
    "test_designs.py::test_cross_products_with_every_kind[turned-",
    "reference/test_influence.py::test_measures_agree_with_r[negative binomial]",
    "test_plots.py::test_every_picture_is_drawn_without_clipped_or_colliding_text[negative_binomial]",
    "test_influence.py::test_leverages_sum_to_the_rank[expected-joint]",
    "test_storage.py::test_a_loaded_result_infers_and_predicts_the_same[tweedie]",
    "test_sources.py::test_every_source_gives_the_same_fit[negative_binomial-mesh of 4 in chunks of 64]",
    "test_sources.py::test_every_source_gives_the_same_fit[inverse_gaussian-mesh of 4 in chunks of 64]",
    "test_sources.py::test_every_kernel_gives_the_same[stream in chunks of 40]",
    "test_functional.py::test_derivatives_are_those_of_refits[student]",
    "laws/test_groups.py::test_every_group_is_as_if_fitted_alone[gamma]",
    "laws/test_groups.py::test_the_large_groups_need_no_fit_of_their_own[gamma]",
    "test_precision.py::test_mixed_keeps_seven_digits[gamma]",
    "test_precision.py::test_single_precision_says_how_far_it_came[gamma]",
    "test_fits.py::test_frequency_weights_are_repeated_rows[inverse_gaussian]",
    "reference/test_margins.py::test_averages[gamma log]",
    # The longest example; what it calls is tested by itself, and against the same data in tests/reference.
    "test_examples.py::test_example_runs[counts.py]",
)


def pytest_collection_finish():
    """Modules stay to the end: the garbage collector need not look through them again and again.

    What is traced makes many objects and few cycles: to look for those after every 700 took a sixth of the tracing.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(items):
    """Mark what `make test` leaves out."""
    for item in items:
        if any(name in item.nodeid for name in EXTRA):
            item.add_marker(pytest.mark.extra)


def pytest_runtest_teardown():
    """Forget compiled programs before they take all of the process's memory maps."""
    global _tests_run
    _tests_run += 1
    maps = Path("/proc/self/maps")
    if _tests_run % TESTS_BETWEEN_LOOKS or not maps.exists():
        return
    if maps.read_bytes().count(b"\n") > MOST_MAPS:
        import jax

        jax.clear_caches()


@pytest.fixture
def compiled_quickly(monkeypatch):
    """Programs for many rows are compiled as those for few, in a quarter of the time: for laws of how a fit proceeds."""
    from jaxglm.sources import sums

    for limit in ("FEW_ROWS", "_FEW_DEAR", "_FEW_BYTES"):
        monkeypatch.setattr(sums, limit, 2**40)


@pytest.fixture
def x64():
    """Float64 for tests that call below the public interface."""
    from jaxglm import precision

    with precision.scope():
        yield
