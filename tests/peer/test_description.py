from typing import Any, Literal

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.peer.description import (
    DEFAULT_MAX_MESSAGE_SIZE,
    MAX_FINGERPRINTS,
    MAX_MESSAGE_SIZE,
    MAX_SDP_LENGTH,
    MIN_MESSAGE_SIZE,
    Description,
    DescriptionType,
    parse_description_untrusted,
)

DIGEST = ":".join(f"{number:02X}" for number in range(0x60, 0x80))
LONG_DIGEST = ":".join(f"{number:02X}" for number in range(64))

OFFER = Description(
    type="offer",
    ice_ufrag="aB+/",
    ice_pwd="0123456789abcdefghijkl",
    fingerprints=(("sha-256", DIGEST),),
    setup="actpass",
)

# As the two browsers lay out an offer of one DataChannel; written after RFC 8866 (SDP),
# RFC 9429 §5.2.1 (JSEP), RFC 8841 and RFC 8839, with the browsers' order and extras.
CHROMIUM_OFFER = f"""\
v=0
o=- 4962303333179871722 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:x/Yz
a=ice-pwd:abcdefghijklmnopqrstuv+/
a=ice-options:trickle
a=fingerprint:sha-256 {DIGEST}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""
FIREFOX_OFFER = f"""\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 1234567890123456789 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {DIGEST}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=sendrecv
a=ice-pwd:0123456789abcdef0123456789abcdef
a=ice-ufrag:01234567
a=mid:0
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
"""


def changed(old: str, new: str, *, count: int = 1) -> str:
    sdp = OFFER.to_sdp()
    assert sdp.count(old) == count, f"{old!r} comes {sdp.count(old)} times"
    return sdp.replace(old, new)


def parse(sdp: str) -> Description:
    return parse_description_untrusted("offer", sdp)


def test_what_is_written() -> None:
    assert OFFER.to_sdp().split("\r\n") == [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=ice-options:trickle",
        "a=ice-ufrag:aB+/",
        "a=ice-pwd:0123456789abcdefghijkl",
        f"a=fingerprint:sha-256 {DIGEST}",
        "a=setup:actpass",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "",
    ]
    assert parse(OFFER.to_sdp()) == OFFER


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_offer_of_chromium(line_end: str) -> None:
    description = parse(CHROMIUM_OFFER.replace("\n", line_end))
    assert description == Description(
        type="offer",
        ice_ufrag="x/Yz",
        ice_pwd="abcdefghijklmnopqrstuv+/",
        fingerprints=(("sha-256", DIGEST),),
        setup="actpass",
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_offer_of_firefox(line_end: str) -> None:
    description = parse(FIREFOX_OFFER.replace("\n", line_end))
    assert description == Description(
        type="offer",
        ice_ufrag="01234567",
        ice_pwd="0123456789abcdef0123456789abcdef",
        fingerprints=(("sha-256", DIGEST),),
        setup="actpass",
        max_message_size=MAX_MESSAGE_SIZE,
    )


@pytest.mark.parametrize("setup", ["active", "passive"])
@pytest.mark.parametrize("offer", [CHROMIUM_OFFER, FIREFOX_OFFER], ids=["chromium", "firefox"])
def test_answers(offer: str, setup: Literal["active", "passive"]) -> None:
    sdp = offer.replace("actpass", setup)
    assert parse_description_untrusted("answer", sdp).setup == setup
    with pytest.raises(PeerProtocolError, match="DTLS role"):
        parse_description_untrusted("offer", sdp)
    with pytest.raises(PeerProtocolError, match="DTLS role"):
        parse_description_untrusted("answer", offer)


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("a=max-message-size:262144\r\n", "", "max_message_size", DEFAULT_MAX_MESSAGE_SIZE),
        ("size:262144", "size:0", "max_message_size", MAX_MESSAGE_SIZE),
        ("size:262144", f"size:{MIN_MESSAGE_SIZE}", "max_message_size", MIN_MESSAGE_SIZE),
        ("size:262144", "size:65535", "max_message_size", 65_535),
        ("size:262144", f"size:{2**64 - 1}", "max_message_size", MAX_MESSAGE_SIZE),
        ("a=sctp-port:5000\r\n", "", "sctp_port", 5000),
        ("port:5000", "port:1", "sctp_port", 1),
        ("port:5000", "port:65535", "sctp_port", 65_535),
        ("a=mid:0\r\n", "", "mid", "0"),
        ("mid:0", "mid:data", "mid", "data"),
        (DIGEST, DIGEST.lower(), "fingerprints", (("sha-256", DIGEST),)),
        ("sha-256", "SHA-256", "fingerprints", (("sha-256", DIGEST),)),
        (
            f"sha-256 {DIGEST}",
            f"sha-512 {LONG_DIGEST}\r\na=fingerprint:sha-256 {DIGEST}",
            "fingerprints",
            (("sha-512", LONG_DIGEST), ("sha-256", DIGEST)),
        ),
        ("a=setup", "a=unknown-thing\r\nx=y\r\n\r\na=setup", "setup", "actpass"),
        ("application 9", "application 50000", "setup", "actpass"),
    ],
)
def test_what_may_differ(old: str, new: str, field: str, value: Any) -> None:
    assert getattr(parse(changed(old, new)), field) == value


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Media.
        ("m=application", "x=application"),
        ("m=application", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=application"),
        ("m=application", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nm=application"),
        ("UDP/DTLS/SCTP", "DTLS/SCTP"),
        ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP"),
        ("webrtc-datachannel", "webrtc-datachannel 5000"),
        ("application 9", "application 9999999"),
        # ICE credentials.
        ("a=ice-ufrag:aB+/\r\n", ""),
        ("a=ice-ufrag:aB+/", "a=ice-ufrag"),
        ("a=ice-ufrag:aB+/", "a=ice-ufrag:aB+/\r\na=ice-ufrag:cD+/"),
        ("ufrag:aB+/", "ufrag:aB+"),
        ("ufrag:aB+/", "ufrag:aB+="),
        ("ufrag:aB+/", "ufrag:aB +"),
        ("ufrag:aB+/", "ufrag:äöüß"),
        ("ufrag:aB+/", "ufrag:" + "a" * 257),
        ("a=ice-pwd:0123456789abcdefghijkl\r\n", ""),
        ("pwd:0123456789abcdefghijkl", "pwd:0123456789abcdefghijk"),
        ("pwd:0123456789abcdefghijkl", "pwd:" + "0" * 257),
        ("pwd:0123456789abcdefghijkl", "pwd:0123456789abcdefghij:l"),
        # Fingerprints.
        (f"a=fingerprint:sha-256 {DIGEST}\r\n", ""),
        ("sha-256", "sha-1"),
        ("sha-256", "md5"),
        ("sha-256", "sha-384"),
        ("sha-256 ", "sha-256  "),
        (DIGEST, DIGEST[:-3]),
        (DIGEST, DIGEST + ":00"),
        (DIGEST, DIGEST.replace(":", "")),
        (DIGEST, DIGEST.replace("60", "6G")),
        (DIGEST, DIGEST.replace("60", "٦٠")),
        (DIGEST, DIGEST + " "),
        (f"sha-256 {DIGEST}", f"sha-256 {DIGEST}\r\na=fingerprint:sha-1 {DIGEST}"),
        (f"sha-256 {DIGEST}", f"sha-256 {DIGEST}\r\na=fingerprint:unknown-1 00"),
        (f"sha-256 {DIGEST}", f"sha-256 {DIGEST}" + "\r\na=fingerprint:sha-256 00" * 1),
        (
            f"a=fingerprint:sha-256 {DIGEST}\r\n",
            f"a=fingerprint:sha-256 {DIGEST}\r\n" * (MAX_FINGERPRINTS + 1),
        ),
        # DTLS roles.
        ("a=setup:actpass\r\n", ""),
        ("setup:actpass", "setup:active"),
        ("setup:actpass", "setup:passive"),
        ("setup:actpass", "setup:holdconn"),
        ("setup:actpass", "setup:actpass\r\na=setup:actpass"),
        # Numbers.
        ("port:5000", "port:0"),
        ("port:5000", "port:65536"),
        ("port:5000", "port:"),
        ("port:5000", "port:-5000"),
        ("port:5000", "port:5e3"),
        ("port:5000", "port:५०००"),
        ("port:5000", "port:" + "5" * 5_000),
        ("a=sctp-port:5000", "a=sctp-port:5000\r\na=sctp-port:5001"),
        ("size:262144", "size:1"),
        ("size:262144", f"size:{MIN_MESSAGE_SIZE - 1}"),
        ("size:262144", f"size:{2**64}"),
        ("size:262144", "size:" + "9" * 21),
        ("a=max-message-size", "a=max-message-size:65536\r\na=max-message-size"),
        # Media identifiers.
        ("a=mid:0", "a=mid:"),
        ("a=mid:0", "a=mid:0 1"),
        ("a=mid:0", "a=mid:0\r\na=mid:1"),
        ("a=mid:0", "a=mid:" + "0" * 33),
        # Size.
        ("s=-", "s=" + "-" * MAX_SDP_LENGTH),
    ],
)
def test_malformed_descriptions_are_refused(old: str, new: str) -> None:
    with pytest.raises(PeerProtocolError):
        parse(changed(old, new))


@pytest.mark.parametrize("sdp", ["", "\r\n", "v=0", "a=", "\x00", "m=", CHROMIUM_OFFER * 2])
def test_what_is_no_description(sdp: str) -> None:
    with pytest.raises(PeerProtocolError):
        parse(sdp)


def test_the_longest_description() -> None:
    filler = MAX_SDP_LENGTH - len(OFFER.to_sdp())
    assert parse(changed("s=-", "s=-" + "x" * filler)) == OFFER
    with pytest.raises(PeerProtocolError, match="too long"):
        parse(changed("s=-", "s=-" + "x" * (filler + 1)))


credentials = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", min_size=22, max_size=256
)
digests = st.binary(min_size=32, max_size=32).map(lambda digest: digest.hex(":").upper())
descriptions = st.builds(
    lambda kind, ufrag, pwd, digests, size, port, mid: Description(
        type=kind[0],
        setup=kind[1],
        ice_ufrag=ufrag[:256],
        ice_pwd=pwd,
        fingerprints=tuple(("sha-256", digest) for digest in digests),
        max_message_size=size,
        sctp_port=port,
        mid=mid,
    ),
    st.sampled_from([("offer", "actpass"), ("answer", "active"), ("answer", "passive")]),
    credentials,
    credentials,
    st.lists(digests, min_size=1, max_size=MAX_FINGERPRINTS),
    st.integers(MIN_MESSAGE_SIZE, MAX_MESSAGE_SIZE),
    st.integers(1, 65_535),
    st.from_regex(r"[!-~]{1,32}", fullmatch=True),
)


@given(descriptions)
def test_what_is_written_is_read_back(description: Description) -> None:
    assert parse_description_untrusted(description.type, description.to_sdp()) == description


lines = st.lists(st.sampled_from(CHROMIUM_OFFER.splitlines()) | st.text(max_size=30)).map("\n".join)


@given(st.sampled_from(["offer", "answer"]), st.text() | lines)
def test_any_text_is_a_description_or_the_one_error(kind: DescriptionType, sdp: str) -> None:
    try:
        description = parse_description_untrusted(kind, sdp)
    except PeerProtocolError:
        return
    assert description.fingerprints
    assert MIN_MESSAGE_SIZE <= description.max_message_size <= MAX_MESSAGE_SIZE


@given(st.data())
def test_every_line_of_a_real_one_may_be_damaged(data: st.DataObject) -> None:
    lines = OFFER.to_sdp().splitlines()
    lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(st.text())
    try:
        parse("\r\n".join(lines))
    except PeerProtocolError:
        return


def test_the_password_is_not_shown() -> None:
    for shown in (repr(OFFER), str(OFFER), f"{OFFER}"):
        assert OFFER.ice_pwd not in shown
        assert OFFER.ice_ufrag not in shown


# aiortc's own RTCPeerConnection. Without a local address to bind it gathers nothing, so no
# socket is opened here.


@pytest.fixture
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_families: [])


def plain() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


@pytest.mark.usefixtures("_no_addresses")
async def test_a_description_of_plain_aiortc_is_read() -> None:
    theirs = plain()
    theirs.createDataChannel("control", negotiated=True, id=0)
    await theirs.setLocalDescription(await theirs.createOffer())
    description = parse(theirs.localDescription.sdp)
    assert [algorithm for algorithm, _ in description.fingerprints] == [
        "sha-256",
        "sha-384",
        "sha-512",
    ]
    assert description.max_message_size == MAX_MESSAGE_SIZE
    await theirs.close()


@pytest.mark.usefixtures("_no_addresses")
async def test_our_offer_is_read_by_plain_aiortc() -> None:
    theirs = plain()
    await theirs.setRemoteDescription(RTCSessionDescription(sdp=OFFER.to_sdp(), type="offer"))
    await theirs.setLocalDescription(await theirs.createAnswer())
    answer = parse_description_untrusted("answer", theirs.localDescription.sdp)
    assert answer.setup == "active"
    await theirs.close()


def test_ours_says_to_aiortc_what_it_says_to_us() -> None:
    session = SessionDescription.parse(OFFER.to_sdp())
    (media,) = session.media
    assert media.ice is not None
    assert media.ice.usernameFragment == OFFER.ice_ufrag
    assert media.ice.password == OFFER.ice_pwd
    assert media.dtls is not None
    assert [(f.algorithm, f.value) for f in media.dtls.fingerprints] == list(OFFER.fingerprints)
    assert media.sctp_port == OFFER.sctp_port
    assert media.sctpCapabilities is not None
    assert media.sctpCapabilities.maxMessageSize == OFFER.max_message_size
