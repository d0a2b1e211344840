"""Code pages by their number in ESC t, as the TM-T88 series and python-escpos number them."""

from functools import cache

_CODECS = {
    0: "cp437",
    1: "cp932",
    2: "cp850",
    3: "cp860",
    4: "cp863",
    5: "cp865",
    13: "cp857",
    14: "cp737",
    15: "iso8859_7",
    16: "cp1252",
    17: "cp866",
    18: "cp852",
    19: "cp858",
    20: "cp874",
    21: "cp874",
    26: "cp874",
    32: "cp720",
    33: "cp775",
    34: "cp855",
    35: "cp861",
    36: "cp862",
    37: "cp864",
    38: "cp869",
    39: "iso8859_2",
    40: "iso8859_15",
    44: "cp1125",
    45: "cp1250",
    46: "cp1251",
    47: "cp1253",
    48: "cp1254",
    49: "cp1255",
    50: "cp1256",
    51: "cp1257",
    52: "cp1258",
    53: "kz1048",
}


@cache
def characters(page: int) -> str:
    """The 256 characters of a code page; Latin-1 stands in for a page that Python has no codec for."""
    codec = _CODECS.get(page, "latin-1")
    ascii_half = "".join(map(chr, range(128)))
    return ascii_half + "".join(_decode(bytes([byte]), codec) for byte in range(128, 256))


def _decode(byte: bytes, codec: str) -> str:
    try:
        return byte.decode(codec)
    except UnicodeDecodeError:
        return byte.decode("latin-1")


# ESC R n: the characters in the places of # $ @ [ \ ] ^ ` { | } ~.
_PLACES = b"#$@[\\]^`{|}~"
_COUNTRIES = {
    1: "#$à°ç§^`éùè¨",
    2: "#$§ÄÖÜ^`äöüß",
    3: "£$@[\\]^`{|}~",
    4: "#$@ÆØÅ^`æøå~",
    5: "#¤ÉÄÖÅÜéäöåü",
    6: "#$@°\\é^ùàòèì",
    7: "₧$@¡Ñ¿^`¨ñ}~",
    8: "#$@[¥]^`{|}~",
    9: "#¤ÉÆØÅÜéæøåü",
    10: "#$ÉÆØÅÜéæøåü",
    11: "#$á¡Ñ¿é`íñóú",
    12: "#$á¡Ñ¿éüíñóú",
    13: "#$@[₩]^`{|}~",
    14: "#$ŽŠĐĆČžšđćč",
    15: "#¥@[\\]^`{|}‾",
}


@cache
def international(country: int) -> dict[int, str]:
    """The characters of the ASCII half that ESC R puts in place of the American ones."""
    return dict(zip(_PLACES, _COUNTRIES.get(country, ""), strict=False))
