"""Dumps as files: every format reads back to the bit, no code in one ever runs, every hostile file is one message."""

import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import finite_floats, formats

from losscheck.core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from losscheck.core.errors import UserError
from losscheck.points.batch import elements_of, index_of, round_array
from losscheck.points.load import Dump, load, parse_names
from losscheck.points.safetensors import read_safetensors

X = [[0.5, -1.5, 3.0], [math.inf, -0.0, 17.0]]
Z = [[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]]
ST = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.bool: "BOOL"}


def tensors(dtype=torch.float32, targets=None):
    return {"logits": torch.tensor(X, dtype=dtype), "targets": torch.tensor(Z, dtype=targets or dtype)}


def safetensors(named, *, header=None, length=None, tail=b""):
    """The bytes of a file, by hand from the published format."""
    entries, data = {}, b""
    for name, tensor in named.items():
        raw = tensor.contiguous().view(torch.uint8 if tensor.dtype != torch.bool else torch.bool).numpy().tobytes()
        entries[name] = {"dtype": ST[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(entries if header is None else header(entries)).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data + tail


def saved(path, named):
    """A dump in the format of its suffix."""
    if path.suffix in (".pt", ".pth"):
        torch.save(named, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in named.items()})
    else:
        path.write_bytes(safetensors(named))
    return str(path)


def refusal(*paths, names=None):
    """The one message about files that are refused, on one line."""
    with pytest.raises(UserError) as caught:
        load([str(path) for path in paths], names or {})
    return str(caught.value)


# What reads back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_every_format_gives_back_every_bit(tmp_path, suffix, dtype):
    """Values, shape, dtype and signed zeros; numpy's files know no bfloat16."""
    if suffix == ".npz" and dtype is torch.bfloat16:
        pytest.skip("numpy has no bfloat16 of its own")
    dump = load([saved(tmp_path / f"a{suffix}", tensors(dtype))], {})

    assert (dump.shape, dump.dtype.name) == ((2, 3), str(dtype).removeprefix("torch."))
    assert [logit.hex() for logit in dump.logits.tolist()] == [logit.hex() for row in X for logit in row]
    assert dump.targets.tolist() == [target for row in Z for target in row]


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float16], ids=str)
@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_targets_of_another_dtype_are_exact(tmp_path, suffix, kind):
    """Labels as integers or truth values, and what they were is kept for the report."""
    named = {**tensors(), "targets": torch.tensor([[0, 1, 1], [1, 0, 0]]).to(kind)}
    dump = load([saved(tmp_path / f"a{suffix}", named)], {})

    assert dump.targets.tolist() == [0, 1, 1, 1, 0, 0]
    assert dump.target_kind == str(kind).removeprefix("torch.")


def test_layouts_in_memory_do_not_matter(tmp_path):
    """Transposed, sliced, expanded and Fortran-ordered tensors, gradients attached: element [i, j] stays element [i, j]."""
    x = torch.arange(6.0).reshape(3, 2).t().requires_grad_()
    torch.save({"logits": x, "targets": torch.ones(1).expand(2, 3)}, tmp_path / "a.pt")
    np.savez(tmp_path / "b.npz", logits=np.asfortranarray(x.detach().numpy()), targets=np.ones((2, 3), ">f4"))

    for name in ("a.pt", "b.npz"):
        assert load([str(tmp_path / name)], {}).logits.reshape(2, 3).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_a_pair_of_files_is_logits_first(tmp_path):
    """Two .npy, or two files of any format with one tensor each; --names picks from more."""
    np.save(tmp_path / "x.npy", np.float32(X))
    np.save(tmp_path / "z.npy", np.float32(Z))
    torch.save(torch.tensor(Z), tmp_path / "z.pt")
    saved(tmp_path / "both.npz", tensors())

    for second in ("z.npy", "z.pt"):
        dump = load([str(tmp_path / "x.npy"), str(tmp_path / second)], {})
        assert (dump.logits[1], dump.targets[1]) == (-1.5, 1.0)
    dump = load([str(tmp_path / "x.npy"), str(tmp_path / "both.npz")], {"targets": "targets"})
    assert dump.targets[1] == 1.0


def test_tuples_nested_dicts_and_names(tmp_path):
    """(logits, targets), savez without names, a dict in a dict by dotted name, other names by --names."""
    torch.save((torch.tensor(X), torch.tensor(Z)), tmp_path / "tuple.pt")
    np.savez(tmp_path / "plain.npz", np.float32(X), np.float32(Z))
    torch.save({"step": 7, "batch": {"pred": torch.tensor(X), "gt": torch.tensor(Z)}}, tmp_path / "nested.pt")

    for name in ("tuple.pt", "plain.npz"):
        assert load([str(tmp_path / name)], {}).logits[1] == -1.5
    names = parse_names("targets=batch.gt, logits=batch.pred")
    assert load([str(tmp_path / "nested.pt")], names).targets[1] == 1.0


@pytest.mark.parametrize("text", ["", "logits", "logits=", "x=y", "logits=a,logits=b", "logits=a,", "=a"])
def test_names_of_another_form_are_refused(text):
    """A role that is none, a name that is missing, a role given twice."""
    with pytest.raises(UserError, match="not of the form"):
        parse_names(text)


def test_missing_names_list_what_is_there(tmp_path):
    """With dtypes and shapes, and the nearest name."""
    said = refusal(saved(tmp_path / "a.npz", {"logit": torch.zeros(2), "targets": torch.zeros(2)}))

    assert "no logits 'logits'; it has logit (float32 [2]), targets (float32 [2])" in said
    assert "--names logits=NAME" in said and "did you mean logit?" in said
    assert "no tensor at all" in refusal(saved(tmp_path / "empty.pt", {}))
    np.save(tmp_path / "x.npy", np.zeros(2))
    assert "give the targets as well: --tensors" in refusal(tmp_path / "x.npy")


# Shapes and dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ((5, 1), (5,), "broadcast to [5, 5]"),
        ((5,), (5, 1), "broadcast to [5, 5]"),
        ((2, 3), (3,), "broadcast to [2, 3]"),
        ((), (4,), "broadcast to [4]"),
        ((2, 3), (3, 2), "do not pair"),
        ((0,), (0,), "the batch is empty"),
    ],
)
def test_shapes_that_differ_are_refused_also_where_they_broadcast(tmp_path, a, b, says):
    """[N, 1] against [N] is the famous bug: [N, N] losses."""
    path = saved(tmp_path / "a.pt", {"logits": torch.zeros(a), "targets": torch.zeros(b)})

    assert says in refusal(path)


def test_a_scalar_is_a_batch_of_one(tmp_path):
    """Shape [], index []."""
    dump = load([saved(tmp_path / "a.pt", {"logits": torch.tensor(1.5), "targets": torch.tensor(1)})], {})

    assert (dump.shape, dump.logits.tolist(), index_of(0, dump.shape)) == ((), [1.5], ())


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str)
def test_logits_of_another_kind_are_refused(tmp_path, dtype):
    """Whole numbers come from an argmax or a mask: the wrong tensor."""
    path = saved(tmp_path / "a.pt", {"logits": torch.zeros(3).to(dtype), "targets": torch.zeros(3)})

    assert f"the logits are {str(dtype).removeprefix('torch.')}" in refusal(path)


def test_sparse_quantized_and_meta_tensors_are_refused(tmp_path):
    """What has no plain elements."""
    for odd in (torch.zeros(3).to_sparse(), torch.zeros(3, device="meta")):
        assert "the logits are" in refusal(saved(tmp_path / "a.pt", {"logits": odd, "targets": torch.zeros(3)}))


def test_a_batch_of_a_billion_expanded_elements_is_refused_unread(tmp_path):
    """A file of a kilobyte that claims 10^12 elements by a stride of 0."""
    big = torch.zeros(1).expand(10**12)

    assert "1000000000000 elements, more than" in refusal(saved(tmp_path / "a.pt", {"logits": big, "targets": big}))


def test_bfloat16_written_by_numpy_is_refused_with_the_cure(tmp_path):
    """Two nameless bytes could be anything."""
    import ml_dtypes

    np.savez(tmp_path / "a.npz", logits=np.zeros(3, ml_dtypes.bfloat16), targets=np.zeros(3))

    assert "two nameless bytes" in refusal(tmp_path / "a.npz") and "--dtype bfloat16" in refusal(tmp_path / "a.npz")


# Hostile files --------------------------------------------------------------------------------------------------------


class Evil:
    """Its pickle creates a file when it is loaded by pickle itself."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_no_pickled_code_runs(tmp_path):
    """A .pt, a bare pickle called .pt, an object array: refused with the lines that dump plain tensors; nothing ran."""
    mark = tmp_path / "ran"
    torch.save({"logits": Evil(mark), "targets": torch.zeros(2)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Evil(mark)))
    np.save(tmp_path / "c.npy", np.array([Evil(mark)], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "d.npz", logits=np.array([Evil(mark)], dtype=object), targets=np.zeros(1))

    assert "losscheck runs no pickled code" in refusal(tmp_path / "a.pt")
    assert "torch.save(batch" in refusal(tmp_path / "a.pt")
    for name in ("b.pt", "c.npy", "d.npz"):
        assert "pickle" in refusal(tmp_path / name)
    assert not mark.exists()
    with pytest.raises(FileNotFoundError):
        mark.stat()
    pickle.loads((tmp_path / "b.pt").read_bytes())
    assert mark.is_dir()  # the control: loaded by pickle, it does run


def test_a_module_in_a_file_is_refused(tmp_path):
    """torch.save(model) needs its class; the message names what was asked for."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")

    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".npy", ".safetensors"])
def test_every_truncation_is_one_message(tmp_path, suffix):
    """Cut after any byte of a small file: refused, or (npz) read whole; never another exception."""
    path = tmp_path / f"a{suffix}"
    np.save(path, np.float32(X)) if suffix == ".npy" else saved(path, tensors())
    data = path.read_bytes()
    for size in sorted({*range(0, min(len(data), 200)), *range(0, len(data), 37), len(data) - 1}):
        path.write_bytes(data[:size])
        assert "cannot read" in refusal(path), size


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npz", ".npy", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04" + b"\x00" * 60, b"\x93NUMPY\x09\x09" + b"x" * 60, b"{}"]
)
def test_other_content_is_one_message(tmp_path, suffix, content):
    """Wrong magic, wrong version, nothing at all."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)

    assert f"cannot read {path}" in refusal(path)


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".npy", ".safetensors"])
def test_flipped_bytes_are_a_batch_or_one_message(tmp_path, suffix):
    """Two hundred files with a byte changed: whatever is read has the shape it claims, whatever is not is refused."""
    path = tmp_path / f"a{suffix}"
    np.save(path, np.float32(X)) if suffix == ".npy" else saved(path, tensors())
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    for place, value in zip(rng.integers(0, len(data), 200), rng.integers(0, 256, 200), strict=True):
        path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
        try:
            dump = load([str(path)] * (2 if suffix == ".npy" else 1), {})
            assert len(dump.logits) == len(dump.targets) == math.prod(dump.shape)
        except UserError as error:
            assert len(str(error)) < 2000


UNSOUND = "it is no sound .safetensors ("  # what the library says of it follows
TWICE = b"{%s}" % b", ".join(
    b'"%s": {"dtype": "F32", "shape": [6], "data_offsets": [%d, %d]}' % entry
    for entry in [(b"logits", 0, 24), (b"targets", 24, 48), (b"logits", 0, 24)]
)
HEADERS = {
    "a header of 2^60 bytes": ({"length": 2**60}, "the file ends before"),
    "a header longer than the file": ({"length": 10**4}, "the file ends before"),
    "no JSON": ({"header": b"{nonsense"}, UNSOUND),
    "a list": ({"header": b"[1]"}, UNSOUND),
    "bad UTF-8": ({"header": b"\xff\xfe"}, UNSOUND),
    "deep nesting": ({"header": b"[" * 10**5}, UNSOUND),
    "a number of 10^5 digits": ({"header": b'{"logits": ' + b"9" * 10**5 + b"}"}, UNSOUND),
    "twice the same name": ({"header": TWICE}, "twice"),
    "no offsets": ({"header": lambda e: {"logits": {"dtype": "F32", "shape": [1]}}}, UNSOUND),
    "offsets outside": ({"header": lambda e: {**e, "logits": {**e["logits"], "data_offsets": [10**6, 10**6 + 24]}}}, UNSOUND),
    "offsets reversed": ({"header": lambda e: {**e, "logits": {**e["logits"], "data_offsets": [24, 0]}}}, UNSOUND),
    "negative offsets": ({"header": lambda e: {**e, "logits": {**e["logits"], "data_offsets": [-24, 0]}}}, UNSOUND),
    "offsets that are text": ({"header": lambda e: {**e, "logits": {**e["logits"], "data_offsets": ["0", "24"]}}}, UNSOUND),
    "overlapping": ({"header": lambda e: {**e, "targets": e["logits"]}}, UNSOUND),
    "partly overlapping": ({"header": lambda e: {**e, "targets": {**e["targets"], "data_offsets": [12, 36]}}}, UNSOUND),
    "a shape of other size": ({"header": lambda e: {**e, "logits": {**e["logits"], "shape": [7]}}}, UNSOUND),
    "a shape of 2^62": ({"header": lambda e: {**e, "logits": {**e["logits"], "shape": [2**31, 2**31]}}}, UNSOUND),
    "a negative shape": ({"header": lambda e: {**e, "logits": {**e["logits"], "shape": [-2, -3]}}}, UNSOUND),
    "a shape of truth values": ({"header": lambda e: {**e, "logits": {**e["logits"], "shape": [True, 6]}}}, UNSOUND),
    "a dtype we do not judge": (
        {"header": lambda e: {name: {**entry, "dtype": "F8_E5M2", "shape": [24]} for name, entry in e.items()}}, "the logits are F8_E5M2"),
    "a dtype that is a list": ({"header": lambda e: {**e, "logits": {**e["logits"], "dtype": ["F32"]}}}, UNSOUND),
    "bytes that belong to no tensor": ({"tail": b"1234"}, UNSOUND),
    "a dtype that the format does not have": ({"header": lambda e: {**e, "logits": {**e["logits"], "dtype": "F31"}}}, UNSOUND),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_a_safetensors_header_is_not_believed(tmp_path, case):
    """Every lie is found before a byte is allocated for it."""
    changes, says = HEADERS[case]
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(tensors(), **changes))

    assert says in refusal(path)


def test_a_safetensors_header_of_megabytes_is_refused(tmp_path):
    """Also where the file is as long as it says."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 17 * 2**20) + b" " * (17 * 2**20))

    assert "larger than the" in refusal(path)


def test_safetensors_metadata_and_padding_are_no_tensors(tmp_path):
    """As the official writer makes them: __metadata__, and blanks behind the header."""
    named = tensors()
    data = safetensors(named, header=lambda entries: {"__metadata__": {"format": "pt"}, **entries})
    size = struct.unpack("<Q", data[:8])[0]
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", size + 5) + data[8 : 8 + size] + b" " * 5 + data[8 + size :])

    assert list(read_safetensors(path)) == ["logits", "targets"]
    assert load([str(path)], {}).logits[1] == -1.5


def test_an_npz_bomb_is_read_no_further_than_its_header_says(tmp_path):
    """A member of a gigabyte of zeros that says it has two floats; and one that says it has 2^40."""
    for count, says in ((2, None), (2**40, "the file ends before")):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (count,)})
        path = tmp_path / f"{count}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("logits", "targets"):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    member.write(header.getvalue())
                    for _ in range(64):
                        member.write(bytes(2**20))
        if says is None:
            assert load([str(path)], {}).logits.tolist() == [0, 0]
        else:
            assert says in refusal(path)


def test_a_pt_bomb_is_refused(tmp_path):
    """torch.save never compresses: an archive that unpacks to more than it weighs was made by someone else."""
    torch.save({"logits": torch.zeros(2**20), "targets": torch.zeros(2**20)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))

    assert "torch.save never writes" in refusal(tmp_path / "b.pt")


def test_bfloat16_of_safetensors_needs_no_torch(tmp_path):
    """Whoever judges numpy losses alone need not wait for torch to be loaded."""
    path = saved(tmp_path / "a.safetensors", tensors(torch.bfloat16))
    read = "from losscheck.points.load import load; import sys; print(load([sys.argv[1]], {}).logits.tolist(), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", read, path], capture_output=True, text=True, check=True).stdout

    assert said == f"{[value for row in X for value in row]} False\n"


def test_an_npy_that_promises_more_than_it_has_is_refused(tmp_path):
    """A header of 10^15 elements before 24 bytes: nothing is allocated for it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(24))

    assert "the file ends before" in refusal(tmp_path / "a.npy", tmp_path / "a.npy")


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    """A folder, a pipe nobody writes to, a name with a null byte, another suffix, nothing at all, three files."""
    (tmp_path / "a.pt").mkdir()
    os.mkfifo(tmp_path / "b.npz")
    (tmp_path / "c.csv").write_text("1,2")

    assert "it is a folder" in refusal(tmp_path / "a.pt")
    assert "it is a pipe" in refusal(tmp_path / "b.npz")
    assert "its suffix '.csv' is none of .pt" in refusal(tmp_path / "c.csv")
    assert "No such file" in refusal(tmp_path / "d.pt")
    assert "null byte" in refusal("a\x00b.pt")
    assert "was given 3 files" in refusal(*["a.npy"] * 3)
    assert "a device" in refusal("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_one_message(tmp_path):
    """Permissions are told as such."""
    for suffix in (".pt", ".npz", ".safetensors"):
        path = tmp_path / f"a{suffix}"
        saved(path, tensors())
        path.chmod(0)
        assert "Permission denied" in refusal(path)


# Rounding -------------------------------------------------------------------------------------------------------------


@given(st.data(), formats())
def test_arrays_round_as_the_formats_do(data, dtype):
    """Once, ties to even, subnormals and overflow included; from float64, as numpy's cast to bfloat16 does not."""
    values = data.draw(st.lists(finite_floats(FLOAT64) | finite_floats(dtype), min_size=1, max_size=8))
    middles = [(a + dtype.neighbour(a, 1)) / 2 for a in map(dtype.round, values) if math.isfinite(a)]
    values += [middle for middle in middles if math.isfinite(middle)] + [math.inf, -math.inf]
    found = round_array(np.array(values), dtype)

    assert [float(value).hex() for value in found] == [dtype.round(value).hex() for value in values]
    assert np.isnan(round_array(np.array([math.nan]), dtype)).all()


def test_numpys_own_cast_would_round_twice():
    """The control for the test above: 1 + 2^-8 + 2^-40 is nearer to 1 + 2^-7 than to 1."""
    import ml_dtypes

    value = np.array([1 + 2.0**-8 + 2.0**-40])

    assert value.astype(ml_dtypes.bfloat16)[0] == 1
    assert round_array(value, BFLOAT16)[0] == 1 + 2.0**-7 == BFLOAT16.round(float(value[0]))


def dump_of(x, z, dtype=FLOAT32, kind="float32", shape=None):
    wide = np.float64 if dtype is FLOAT64 else np.float32
    return Dump(np.array(x, wide), np.array(z, np.float64), shape or (len(x),), dtype, kind)


def test_the_summary_names_what_is_odd_before_any_loss_is_asked():
    """NaN and infinite logits, targets outside [0, 1], each with its count and the index of the first."""
    x = [1.0, math.nan, -3.0, math.inf, math.nan, -math.inf, 2.0, 0.0]
    z = [0.0, 1.0, math.nan, 1.0, 0.5, 0.0, 255.0, 1.0]
    elements = elements_of(dump_of(x, z, shape=(2, 4)), FLOAT32, ("a.pt",))
    found = elements.summary

    assert (found.nan.count, found.nan.first, found.inf.count, found.inf.first) == (2, (0, 1), 2, (0, 3))
    assert (found.outside.count, found.outside.first, elements.inside.tolist()) == (2, (0, 2), [n not in (2, 6) for n in range(8)])
    assert (found.low, found.high) == (-3.0, 2.0)
    assert (found.positives, found.negatives, found.soft) == (3, 2, 1)


def test_rounding_is_counted_and_what_it_turns_over_is_named():
    """A heatmap value that float16 makes a centre; a logit beyond its range."""
    found = elements_of(dump_of([0.1, 1e6, 2.0], [1 - 2.0**-20, 0.5, 1.0], kind="float64"), FLOAT16, ("a.pt",)).summary

    assert (found.rounded_logits, found.became_infinite.first, found.rounded_targets) == (2, (1,), 1)
    assert (found.became_one.count, found.became_one.first, found.positives) == (1, (0,), 2)


def test_whether_a_target_is_outside_is_asked_before_it_is_rounded():
    """1 + 2^-20 is outside, though float16 would make it 1."""
    found = elements_of(dump_of([0.5, 0.5], [1 + 2.0**-20, 1.0], kind="float64"), FLOAT16, ("a.pt",)).summary

    assert (found.outside.count, found.rounded_targets) == (1, 0)


def test_class_numbers_for_targets_are_refused():
    """No target in [0, 1] at all."""
    with pytest.raises(UserError, match="no target is in"):
        elements_of(dump_of([0.5, 0.5], [7, 3]), FLOAT32, ("a.pt",))


@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_an_index_is_that_of_the_array(shape, data):
    """The same as numpy's unravel_index."""
    place = data.draw(st.integers(0, math.prod(shape) - 1))

    assert index_of(place, tuple(shape)) == tuple(int(index) for index in np.unravel_index(place, shape))
