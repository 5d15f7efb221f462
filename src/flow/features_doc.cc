#include "flow/features_doc.h"

#include <string_view>

#include "flow/context.h"
#include "flow/features.h"
#include "flow/kdd.h"

namespace nidus::flow {
namespace {

constexpr std::string_view kBeginningText = R"(# Features

<!-- Generated: nidus help features > docs/features.md -->

A flow is what two ends said to each other between the flow's first packet and its end, both directions together.
*Forward* is from the initiator, *reverse* towards it; the published names say *backward* (Bwd) for reverse.

Lengths are bytes of payload: IP length minus IP and transport header, so neither padding nor a short snap length
changes them. Times are whole microseconds. Deviations and variances are those of a sample (divisor n - 1) and 0
below two values; they are computed once, from integer sums, and so do not depend on the order of packets, on
batches or on threads. Every native value is finite; -1 stands only for an initial window that was never seen and
for the ICMP fields of what is not ICMP.

## Native definitions and names

The key is the name in native tables and in detectors. Columns of foreign tables are recognised by any of the names,
blanks around them and case ignored, and by the snake case of the 2018 names that the Python extractor writes.

)";

constexpr std::string_view kContextText = R"(
## Around a flow

Single flows of a flood, or of somebody who guesses passwords, look like any session; their number gives them away. So
native tables also say what else was going on when a flow ended: `nidus flows` writes these columns and `nidus train`
learns from them unless told otherwise (`--features flow`; `--features context` for these alone).

A window of 2, 10 or 60 s holds the flows whose last packet came less than so long before this flow's last packet, this
flow among them. Flows that ended at the same microsecond come in the order of their start, then by who they are. A
record is held until no flow that ended earlier can come: as long as the shorter of active and idle timeout, 120 s
unless set, and 10 s more for packets out of order. So the counts depend on the packets and timeouts alone, the same for
any number of threads, live or from a file. An early record has the counts at that time and is no part of those of
others.

Counts are exact up to 65,536 flows in 60 s; when there are more, the oldest leave their windows early, and how many
did is told. A failure is a flow in one of Zeek's states S0 (no answer, of UDP too), REJ, RSTOS0, RSTRH, SH, SHR.

| key | unit | meaning |
|---|---|---|
)";

constexpr std::string_view kSequenceText = R"(
## The first packets

With `--features sequence` the sizes and gaps of a flow's first 32 packets are columns, or of its first N if records
are given early (`--early N`). Cells are empty for packets that the flow has not had.

| key | unit | meaning |
|---|---|---|
| `seq_size_1` … `seq_size_32` | bytes | payload of the packet; negative if it went in reverse |
| `seq_gap_1` … `seq_gap_32` | us | since the packet before; 0 for the first |
)";

constexpr std::string_view kProfilesText = R"(
## Profiles

A model is right only about features that are computed the way its training set was. So one meter knows several
definitions; the profile is stored in every table of flows and in every detector, and the two must match.

| profile | reproduces | flows are cut | written |
|---|---|---|---|
| `native` | our own definitions, below the table above | TCP teardown (both FINs and the acknowledgement, or RST), 120 s after the first packet | all |
| `cic2017` | CIC-IDS2017 as published | the first FIN of either side; 120 s | two packets or more |
| `cic2018` | CSE-CIC-IDS2018 as published | as `cic2017` | two packets or more |
| `cns2022` | the corrected re-release of both (Liu et al., CNS 2022) | as `native`, but the first packet's FIN or RST is not looked at | all |
| `cic-fixed` | the corrected fork of CICFlowMeter, May 2024 | as `cns2022` | all |
| `nsl-kdd` | the connections of KDD'99 and NSL-KDD | by state and silence (TCP 120 s after an unanswered SYN and 300 s otherwise, UDP 180 s, others 30 s), never by age | all |

All but `nsl-kdd` have the 120 s limit of the original tools, strictly greater; a flow of the native profile may have
others, which are then part of its description. A closed TCP connection stays until a SYN opens the next one, so that
late acknowledgements are its own.

What continues a flow that a timeout cut keeps its direction: in `native` and `cic-fixed` TCP always and UDP when the
pause was at most 120 s, in `cns2022` TCP only. In `cic2017` and `cic2018` everything does, but the first packet of the
continuation counts as forward whoever sent it.

A flow whose first packet is SYN+ACK was opened by the other side in `native`, `cic-fixed` and `nsl-kdd`; elsewhere by
its sender. `native` tells two ends by address and port, the tools by address alone, so that traffic between two ports
of one host is all forward.

In `native` an ICMP echo and its reply are one flow, whose ports are the two types; other messages have type and code
for ports, and no answer.

## What is known to be wrong, and where

The published definitions have these defects. Their profiles have them too, on purpose: a detector trained on such a
table learnt them. The last column says what `native` does.

| id | defect | profiles | native |
|---|---|---|---|
| B1 | the eight flag counts stand under one another's headings: FIN shows RST, SYN shows PSH, RST shows ECE, PSH shows SYN, URG shows FIN, CWE shows URG, ECE shows CWR; only ACK is right | cic2017 cic2018 | each under its own |
| B2 | flag counts look at the first packet only | cic2017 cic2018 | all packets |
| B3 | PSH and URG per direction: forward looks at the first packet only, reverse is always 0 | cic2017 cic2018 | all packets |
| B4 | the first payload enters mean, deviation and variance of the packet length twice | cic2017 cic2018 | once |
| B5 | the average packet size has the first payload twice in its numerator, once in its denominator | cic2017 cic2018 | the same as the mean |
| B6 | down/up is a division of whole numbers | cic2017 cic2018 | real |
| B7 | the six bulk features are always 0 | cic2017 cic2018 | at least 4 packets with payload, no pause over 1 s, nothing from the other side between |
| B8 | a bulk's direction is compared by reference, so every packet is backward | builds of 2019 to 2022 | as B7 |
| B9 | reverse bulk bytes show the forward value | builds to May 2020 | its own value |
| B10 | the number of subflows stays 1 | cic2017 cic2018 | pauses over 1 s, plus one |
| B11 | the number of subflows is the number of packets | cns2022 | as B10 |
| B12 | the number of subflows is the number of pauses, and 0 divides to 0 | cic-fixed | as B10 |
| B13 | active and idle times contain times of day | builds of 2019 to 2021 | durations |
| B14 | the closing FIN does not end an idle time | cic2017 cic2018 | it does |
| B15 | the last active period is never counted | all of the tools | counted |
| B16 | the first FIN ends the flow and RST does not; what follows is another flow | cic2017 cic2018 | full teardown |
| B17 | a backward FIN ends the flow alone, a second forward one is lost | builds since July 2021 | full teardown |
| B18 | the first packet after a timeout is forward, whoever sent it | cic2017 cic2018 | its true direction |
| B19 | the first packet of a flow is backward | builds of 2018 to 2020 | forward |
| B20 | the reverse initial window is that of the last packet | cic2017 cic2018 cns2022 | of the first |
| B21 | forward window and shortest header are 0 when the flow begins with a reverse packet | cns2022 cic-fixed | of the first forward packet |
| B22 | the shortest reverse header is 0 unless the flow begins with a reverse packet | cic-fixed | the shortest |
| B23 | the first packet is not among those with payload | cic2017 cic2018 cns2022 | it is |
| B24 | flows of one packet are not written | cic2017 cic2018 | written |
| B25 | rates of a flow without duration are infinite or not a number; -1 in cic-fixed | all of the tools | 0, and `zero_duration` says why |
| B26 | padding of short frames counts as payload | cic2017 | it does not |
| B27 | a UDP header is as long as the last TCP header seen | cic2017 | 8 |
| B28 | protocol 0 stands for all but TCP and UDP | cic2017 cic2018 | the IP protocol number |
| B29 | ARP becomes flows between 8.0.6.4 and 8.6.0.1 | all of the tools | not a flow |
| B30 | IPv6, where it is read at all, has milliseconds and neither flags nor windows | the tools; their profiles read IPv4 only | as IPv4 |
| B31 | times of day on a clock of twelve hours, in the zone of the machine | cic2017 cic2018 (we write UTC) | ISO 8601, UTC |
| B32 | packets out of order give negative gaps and durations | the tools; no profile of ours | a packet is never before its predecessor |
| B33 | memory grows with the capture | the tools; no profile of ours | bounded |
| B34 | a second writer shows forward values in reverse columns | not used for any data set | - |
| B35 | an ICMP flow is split when type and code both change | cns2022 cic-fixed | by type and code, requests with their replies |
| B36 | the first packet's FIN or RST does not begin the teardown | cns2022 cic-fixed | it does |
| B37 | the first packet's FIN and RST are missing in the counts of its direction | cns2022 | counted |

B1, B2, B10, B14, B26, B27 and B29 were found in the tools' sources and in the files; the others are described by
Engelen et al. (WTMC 2021), Rosay et al. (ICISSP 2022), Liu et al. (CNS 2022) and Lanvin et al. (CRiSIS 2022).

)";

constexpr std::string_view kKddText = R"(## NSL-KDD

`nsl-kdd` tables have the 41 features of KDD'99 as far as packets give them. Windows are ordered by the time of a
connection's last packet. #10 to #22 look into the payload and are 0 by convention; `logged_in` is guessed (TCP, the
responder sent payload, a service with a login, an established connection), which agrees with 96 % of the published
rows. A detector of these features that needs #10 to #22 cannot find what only shows there (R2L, U2R): leave them out
(28 features remain).

`count` and `srv_count` are the connections of the last 2 s to the same responder and of the same service, this one
included, at most 511; `dst_host_count` and `dst_host_srv_count` the last ones of any age, at most 255. A rate is a
share of its window. The three `diff` rates are the number of different services (or responders) over the window, and 0
when there is one only; they are not the complement of the `same` rates.

)";

void append_row(std::string& out, const FeatureInfo& info) {
  out += "| `";
  out += info.key;
  out += "` | ";
  out += info.unit;
  for (const std::string_view cell : {info.meaning, info.cic2017, info.cic2018, info.cic2020}) {
    out += " | ";
    out += cell.empty() ? "-" : cell;
  }
  out += " |\n";
}

}  // namespace

std::string features_markdown() {
  std::string out(kBeginningText);
  out += "| key | unit | meaning | CIC-IDS2017 | CSE-CIC-IDS2018 | tools since 2020, re-releases |\n";
  out += "|---|---|---|---|---|---|\n";
  for (const FeatureInfo& info : features()) append_row(out, info);
  out += kContextText;
  for (const ContextInfo& info : context_features()) {
    out += "| `";
    ((((out += info.key) += "` | ") += info.unit) += " | ") += info.meaning;
    out += " |\n";
  }
  out += kSequenceText;
  out += kProfilesText;
  out += kKddText;
  out += "In order:";
  for (std::size_t i = 0; i < kKddFeatures; ++i) {
    out += i == 0 ? " `" : ", `";
    out += kKddNames[i];
    out += '`';
  }
  out += ".\n";
  return out;
}

}  // namespace nidus::flow
