"""A rule that runs one pytest file."""

def pytest_test(name, srcs, deps, **kwargs):
    """Runs one test file with the pytest of the Python on PATH.

    Args:
      name: name of the target.
      srcs: the test file, alone in a list.
      deps: libraries it needs.
      **kwargs: further attributes of py_test.
    """
    native.py_test(
        name = name,
        srcs = srcs + ["//bazel:run_pytest.py"],
        main = "//bazel:run_pytest.py",
        args = [native.package_name() + "/" + srcs[0]],
        deps = deps,
        size = "medium",
        **kwargs
    )
