import pytest

from xpbptt.commands.base.errors import UserError
from xpbptt.commands.train import memory

MEMINFO = "MemTotal:  9000 kB\nMemFree:   500 kB\nMemAvailable:   4000 kB\nCached:  1 kB\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write the files of a machine; without limits it has 4,096,000 bytes."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_process", lambda: iter(()))

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    write("proc/meminfo", MEMINFO)
    return write


def group(machine, place, version, limit, used, freeable):
    names = {
        1: ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
        2: ("max", "current", "inactive_file"),
    }[version]
    machine(f"groups/{place}/memory.{names[0]}", f"{limit}\n")
    machine(f"groups/{place}/memory.{names[1]}", f"{used}\n")
    machine(f"groups/{place}/memory.stat", f"anon 7\ninactive_file 3\n{names[2]} {freeable}\n")


def test_without_limits_it_is_what_the_machine_has(machine):
    assert memory.available() == 4_096_000


def test_the_groups_of_version_2_and_those_above_them_limit_it(machine):
    machine("proc/self/cgroup", "0::/user/mine\n")
    group(machine, "user/mine", 2, "max", 900, 100)
    assert memory.available() == 4_096_000
    group(machine, "user", 2, 3_000, 900, 100)
    assert memory.available() == 2_200
    group(machine, "user/mine", 2, 1_500, 900, 100)
    assert memory.available() == 700
    group(machine, "user/mine", 2, 1_500, 1_900, 100)
    assert memory.available() == 0


def test_the_groups_of_version_1_limit_it(machine):
    machine("proc/self/cgroup", "5:cpu:/\n4:hugetlb,memory:/mine\n0::/\n")
    group(machine, "memory/mine", 1, 9_223_372_036_854_771_712, 900, 100)
    assert memory.available() == 4_096_000
    group(machine, "memory/mine", 1, 2_000, 900, 100)
    assert memory.available() == 1_200


def test_a_container_sees_its_limit_at_the_root(machine):
    machine("proc/self/cgroup", "0::/a/path/of/the/host\n")
    group(machine, "", 2, 5_000, 1_000, 0)
    assert memory.available() == 4_000


def test_the_limit_of_the_process_is_one(machine, monkeypatch):
    monkeypatch.undo()
    resource = pytest.importorskip("resource", reason="only Unix limits a process so")
    before = memory.available()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 50, hard))
        assert before // 2 < memory.available() <= 2 * before
        monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
        assert memory.available() == 0  # this process takes more than that
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_where_there_is_no_proc_it_is_the_memory_built_in_or_what_can_be_addressed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr(memory.os, "sysconf_names", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 2})
    sizes = {"SC_PHYS_PAGES": 1_000, "SC_PAGE_SIZE": 16_384}
    monkeypatch.setattr(memory.os, "sysconf", sizes.__getitem__)
    assert memory.available() == 16_384_000
    monkeypatch.delattr(memory.os, "sysconf_names")
    assert memory.available() == 2**47


def test_what_needs_more_is_refused_with_the_figures(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2_500)
    memory.check(2_500, "this", "take less")
    with pytest.raises(UserError) as error:
        memory.check(2_501, "this", "take less")
    assert str(error.value) == ("this needs 2.5 kB of memory, but 2.5 kB are available: take less")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (10**6 - 1, "1000.0 kB"),
        (25 * 10**8, "2.5 GB"),
        (10**20, "100.0 EB"),
        (10**21 - 1, "1000.0 EB"),
        (10**21, "more than 1000 EB"),
    ],
)
def test_bytes_in_words(size, expected):
    assert memory.words(size) == expected


def test_the_bytes_of_a_number_too_long_to_be_written_out():
    assert memory.words(10**9_000) == "more than 1000 EB"
