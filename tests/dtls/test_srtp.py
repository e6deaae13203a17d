import pytest

from sfu.dtls.srtp import SrtpProtectionProfile, exported_length, split_keys

ALL = pytest.mark.parametrize("profile", SrtpProtectionProfile, ids=lambda profile: profile.name)


@ALL
def test_the_ends_mirror_each_other(profile: SrtpProtectionProfile) -> None:
    exported = bytes(range(exported_length(profile)))
    server = split_keys(profile, exported, server=True)
    client = split_keys(profile, exported, server=False)
    assert (server.local_key, server.local_salt) == (client.remote_key, client.remote_salt)
    assert (client.local_key, client.local_salt) == (server.remote_key, server.remote_salt)
    assert client.local_key + server.local_key + client.local_salt + server.local_salt == exported


def test_lengths() -> None:
    assert [exported_length(profile) for profile in SrtpProtectionProfile] == [60, 56, 88]


def test_no_key_in_repr() -> None:
    keys = split_keys(SrtpProtectionProfile.AEAD_AES_128_GCM, b"k" * 56, server=True)
    assert "kk" not in repr(keys)
