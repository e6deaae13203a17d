from sfu.ice.path import Address, IcePath

V4 = Address("192.0.2.1", 7882)
V6 = Address("2001:db8::1", 50000)


def test_address_prints_in_the_usual_form() -> None:
    assert str(V4) == "192.0.2.1:7882"
    assert str(V6) == "[2001:db8::1]:50000"


def test_paths_are_equal_by_both_addresses_and_not_by_native() -> None:
    path = IcePath(V4, V6, native=object())
    again = IcePath(Address("192.0.2.1", 7882), Address("2001:db8::1", 50000))
    assert path == path
    assert path == again
    assert hash(path) == hash(again)
    assert {path: 1}[again] == 1


def test_paths_differ_by_either_address() -> None:
    path = IcePath(V4, V6)
    assert path != IcePath(None, V6)
    assert path != IcePath(V4, Address("2001:db8::1", 50001))
    assert path != "192.0.2.1:7882<->[2001:db8::1]:50000"


def test_paths_differ_by_transport() -> None:
    """The same two ports by UDP and by TCP are two paths, even when their hashes collide."""
    udp, tcp = IcePath(V4, V6), IcePath(V4, V6, transport="tcp")
    assert udp != tcp
    tcp._hash = udp._hash
    assert udp != tcp
    assert IcePath(V4, V6, transport="tcp") == IcePath(V4, V6, object(), "tcp")


def test_equal_hashes_do_not_make_paths_equal() -> None:
    path, other = IcePath(V4, V6), IcePath(V4, V4)
    other._hash = path._hash
    assert path != other


def test_path_prints_both_ends() -> None:
    assert str(IcePath(V4, V6)) == "192.0.2.1:7882<->[2001:db8::1]:50000"
    assert str(IcePath(None, V4)) == "*<->192.0.2.1:7882"
    assert str(IcePath(V4, V6, transport="tcp")) == "192.0.2.1:7882<->[2001:db8::1]:50000 tcp"
    assert repr(IcePath(None, V4)) == "IcePath(None, Address(host='192.0.2.1', port=7882), transport='udp')"
