from streamhebb.verify import CaseResult, Difference, Summary, format_line


def test_line_counts():
    results = [CaseResult("a", "passed"), CaseResult("b", "failed"), CaseResult("c", "failed")]
    assert Summary(tuple(results)).line() == "1 passed, 2 failed"
    results.append(CaseResult("d", "not supported"))
    summary = Summary(tuple(results))
    assert summary.line() == "1 passed, 2 failed, 1 not supported"
    assert summary.exit_code == 1
    assert Summary((CaseResult("a", "passed"),)).exit_code == 0


def test_a_line_names_key_and_limit():
    worst = {"float32": Difference("w20", 3e-2, 2e-5), "float64": Difference("w1_f64", 1e-16, 1e-8)}
    line = format_line(CaseResult("conv", "failed", worst, "1 beyond the limit"))
    text = "float32 3.0e-02 w20 (limit 2e-05); float64 1.0e-16 w1_f64; 1 beyond the limit"
    assert line.split() == ["failed", "conv", *text.split()]


def test_a_line_stays_one_line():
    assert "\n" not in format_line(CaseResult("x", "failed", reason="a\nb", notes=("c\n d",)))


def test_nan_is_no_pass():
    assert not Difference("w", float("nan"), 1.0).passed
    assert not Difference("w", float("inf"), 1.0).passed
