"""A pickle gives plain data or is refused, and nothing that it names is ever called."""

import contextlib
import os
import pickle
import pickletools
import zipfile

import numpy as np
import pytest
from ensam.pickled import RefusedPickleError, read_object_array
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import object_array

thorough = inputs(300)
BOX = {"z_min": 1, "z_max": 3, "z_mid": 2, "z_mid_x_min": 3, "z_mid_x_max": 7}


class Call:
    """Pickles as a call of the function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


HOSTILE_OBJECTS = {
    "os.system": Call(os.system, "touch hacked"),
    "eval": Call(eval, "open('hacked', 'w')"),
    "open": Call(open, "hacked", "w"),
    "getattr": Call(getattr, "text", "upper"),
    "numpy.load": Call(np.load, "hacked"),
    "numpy.fromfile": Call(np.fromfile, "hacked"),
    "numpy.memmap": Call(np.memmap, "hacked"),
    "numpy.zeros": Call(np.zeros, 1 << 40),
    "a class": Call(zipfile.ZipFile, "hacked", "w"),
    "a set": {1, 2},
    "a complex number": 1j,
    "numpy's text": np.str_("text"),
    "a date": np.datetime64("2025-01-01"),
    "a dict with number keys": {1: 2},
}
MAKE = b"cnumpy._core.multiarray\n_reconstruct\n"
EMPTY_ARRAY = MAKE + b"(cnumpy\nndarray\n(K\x00tC\x01btR"
BYTE_TYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00u1tR"
HOSTILE_PICKLES = {
    "posix.system": b"\x80\x03cposix\nsystem\n(X\x0c\x00\x00\x00touch hackedtR.",
    "numpy.f2py": b"\x80\x03cnumpy.f2py.diagnose\nrun_command\n(X\x0c\x00\x00\x00touch hackedtR.",
    "another name in numpy": b"\x80\x03cnumpy\nload\n(X\x06\x00\x00\x00hackedtR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.ctype\x93.",
    "an instance by INST": b"(S'touch hacked'\nios\nsystem\n.",
    "an object by OBJ": b"(cos\nsystem\nS'touch hacked'\no.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pid\n.",
    "a binary persistent id": b"\x80\x03K\x01Q.",
    "an array of a huge shape": b"\x80\x03" + MAKE + b"(cnumpy\nndarray\n(J\xff\xff\xff\x7ftC\x01btR.",
    "numbers with a huge shape": (
        b"\x80\x03" + EMPTY_ARRAY + b"(K\x01(J\xff\xff\xff\x7ft" + BYTE_TYPE + b"\x89C\x01\x00tb."
    ),
    "a memo at the end of memory": b"\x80\x03]r\xff\xff\xff\xff.",
    "an array that isn't filled": b"\x80\x03" + EMPTY_ARRAY + b".",
    "the class itself": b"\x80\x03cnumpy\nndarray\n.",
    "attributes for a class": b"\x80\x03cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",
    "objects for a number": (
        b"\x80\x03cnumpy.core.multiarray\nscalar\n(" + BYTE_TYPE.replace(b"u1", b"O8") + b"C\x08AAAAAAAAtR."
    ),
    "a list": b"\x80\x03]K\x01a.",
    "nothing": b"",
    "no end": b"\x80\x03]",
    "a text of four gigabytes": b"\x80\x03X\xff\xff\xff\xff",
    "an empty stack": b"\x80\x03R.",
    "a mark missing": b"\x80\x03]e.",
    "a mark as an item": b"\x80\x03](a.",
    "deep nesting": b"\x80\x03" + b"]" * 100_000 + b"a" * 99_999 + b".",
}


@pytest.mark.parametrize("name", HOSTILE_OBJECTS)
@pytest.mark.parametrize("protocol", range(6))
def test_an_object_beyond_plain_data_is_refused_and_never_made(nothing_happens, name, protocol):
    with pytest.raises(RefusedPickleError):
        read_object_array(pickle.dumps(object_array([HOSTILE_OBJECTS[name], {}]), protocol))


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_a_hostile_or_damaged_pickle_is_refused(nothing_happens, name):
    with pytest.raises(RefusedPickleError):
        read_object_array(HOSTILE_PICKLES[name])


def test_the_parts_of_the_hostile_pickles_make_an_array_when_put_together_well():
    number = b"cnumpy.core.multiarray\nscalar\n(" + BYTE_TYPE + b"C\x01\x07tR"
    state = b"(K\x01(K\x01t" + BYTE_TYPE.replace(b"u1", b"O8") + b"\x89]" + number + b"atb"
    assert read_object_array(b"\x80\x03" + EMPTY_ARRAY + state + b".") == [7]


def test_a_nest_of_shared_tuples_is_no_key():
    """Its hash would take 2**60 steps."""
    keep, twice = b"q\x00", b"h\x00\x86"
    nest = b")" + (keep + twice) * 60 + keep
    with pytest.raises(RefusedPickleError):
        read_object_array(b"\x80\x03" + nest + b"}h\x00K\x01s.")


def test_plain_data_and_arrays_are_read_from_pickles_of_both_numpy_versions():
    numbers = [np.int16(-3), np.bool_(True)]
    items = [1, -5, 2.5, True, None, "é", b"b", (1, (2, 3), 4, 5), (), [[]], {"a": [1]}, *numbers]
    for protocol in (3, 4):
        new = pickle.dumps(object_array(items), protocol)
        old = pickle.dumps(object_array(items), protocol).replace(b"numpy._core.", b"numpy.core.")
        for data in (new, old) if protocol == 3 else (new,):
            assert read_object_array(data) == [*items[:-2], -3, True]
    fortran = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    (array, empty) = read_object_array(pickle.dumps(object_array([fortran, np.zeros((0, 3))]), 4))
    assert np.array_equal(array.items, fortran) and array.shape == (2, 3)
    assert len(empty.items) == 0


@thorough
@given(st.data())
def test_a_mutated_pickle_gives_a_list_or_is_refused(data):
    pickled = bytearray(pickle.dumps(object_array([BOX, BOX, np.int64(3), np.arange(3)]), 4))
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RefusedPickleError):
        assert isinstance(read_object_array(bytes(pickled)), list)


OPCODES = [bytes([ord(opcode.code)]) for opcode in pickletools.opcodes]


INSTRUCTIONS = [*OPCODES, EMPTY_ARRAY, BYTE_TYPE, b"K\x01", b"\x8c\x01a", b"h\x00"]


@thorough
@given(st.lists(st.sampled_from(INSTRUCTIONS), max_size=25))
def test_any_sequence_of_instructions_gives_a_list_or_is_refused(instructions):
    with contextlib.suppress(RefusedPickleError):
        assert isinstance(read_object_array(b"".join(instructions) + b"."), list)
