"""Lines of a PCI function's AER files (kernel drivers/pci/pcie/aer.c), as `file.Line`: `aer_dev_correctable.BadTLP`.

The same line stands in `aer_dev_fatal` and `aer_dev_nonfatal`, so a line alone is no name.
"""

from diagnostics.catalogue.group import Group, Row

CORRECTABLE, NONFATAL, FATAL = "aer_dev_correctable", "aer_dev_nonfatal", "aer_dev_fatal"
_ORIGIN = "kernel pcie/aer.c; PCI Express Base Specification, Advanced Error Reporting"

_CORRECTABLE_LINES = (
    ("RxErr", "receiver errors: the physical layer could not read a symbol"),
    ("BadTLP", "transaction packets with a wrong CRC or sequence, sent again by the link partner"),
    ("BadDLLP", "link packets with a wrong CRC"),
    ("Rollover", "a packet was replayed four times and the link retrained"),
    ("Timeout", "the replay timer ran out without an acknowledgement"),
    ("NonFatalErr", "advisory: an uncorrectable error that the receiver could handle"),
    ("CorrIntErr", "errors inside the device that it corrected"),
    ("HeaderOF", "the log of failed headers overflowed"),
    ("TOTAL_ERR_COR", "sum of the correctable errors of this function"),
)

_UNCORRECTABLE_LINES = (
    ("Undefined", "an error bit without a meaning"),
    ("DLP", "data link protocol errors"),
    ("SDES", "surprise down: the link vanished"),
    ("TLP", "poisoned transaction packets received"),
    ("FCP", "flow control protocol errors"),
    ("CmpltTO", "completion time-outs: the other side did not answer a read"),
    ("CmpltAbrt", "the other side aborted a completion"),
    ("UnxCmplt", "completions nobody had asked for"),
    ("RxOF", "receiver overflow: more packets than credits"),
    ("MalfTLP", "malformed transaction packets"),
    ("ECRC", "end-to-end CRC errors"),
    ("UnsupReq", "requests that this function does not support"),
    ("ACSViol", "refused by access control services (ACS)"),
    ("UncorrIntErr", "errors inside the device that it could not correct"),
    ("BlockedTLP", "multicast packets blocked"),
    ("AtomicOpBlocked", "atomic operations blocked on the way out"),
    ("TLPBlockedErr", "packets blocked for their prefix"),
    ("PoisonTLPBlocked", "poisoned packets blocked on the way out"),
)


def _rows(file: str, lines: tuple[tuple[str, str], ...], kind: str) -> tuple[Row, ...]:
    return tuple((f"{file}.{line}", "errors", "error", f"PCIe, {kind}: {meaning}.") for line, meaning in lines)


_NONFATAL_TOTAL = (("TOTAL_ERR_NONFATAL", "sum of the uncorrectable, non-fatal errors of this function"),)
_FATAL_TOTAL = (("TOTAL_ERR_FATAL", "sum of the fatal errors of this function"),)

_FILES: tuple[Row, ...] = (
    (CORRECTABLE, "errors", "error", "PCIe errors that the link corrected by itself: slot, riser or signal quality."),
    (NONFATAL, "errors", "error", "PCIe errors that lost a transaction and left the link usable."),
    (FATAL, "errors", "error", "PCIe errors that made the link unusable until it was reset."),
    ("aer_rootport_total_err_cor", "messages", "error", "Correctable error messages that reached this root port."),
    ("aer_rootport_total_err_nonfatal", "messages", "error", "Non-fatal error messages that reached this root port."),
    ("aer_rootport_total_err_fatal", "messages", "error", "Fatal error messages that reached this root port."),
)

GROUPS = (
    Group(
        source="pci",
        bits=64,
        limit=None,
        origin=_ORIGIN,
        rows=(
            *_FILES,
            *_rows(CORRECTABLE, _CORRECTABLE_LINES, "corrected"),
            *_rows(NONFATAL, _UNCORRECTABLE_LINES + _NONFATAL_TOTAL, "non-fatal"),
            *_rows(FATAL, _UNCORRECTABLE_LINES + _FATAL_TOTAL, "fatal"),
        ),
    ),
)

_TOTALS = {CORRECTABLE: "TOTAL_ERR_COR", NONFATAL: "TOTAL_ERR_NONFATAL", FATAL: "TOTAL_ERR_FATAL"}
_BARE = {line: CORRECTABLE for line, _ in _CORRECTABLE_LINES} | {line: file for file, line in _TOTALS.items()}


def canonical(name: str) -> str:
    """`aer_dev_fatal/DLP`, `aer_dev_fatal:DLP` -> `aer_dev_fatal.DLP`; a bare total or correctable line too."""
    if name in _BARE:
        return f"{_BARE[name]}.{name}"
    for mark in "/: ":
        name = name.replace(mark, ".")
    file, _, line = name.partition(".")
    if line.startswith("TOTAL_") and file in _TOTALS:
        return f"{file}.{_TOTALS[file]}"  # a captured nonfatal file ends with TOTAL_ERR_FATAL
    return name
