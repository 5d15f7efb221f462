#pragma once

#include <string>
#include <string_view>

#include "flow/record.h"

namespace nidus::flow {

// How a connection went, in the words of Zeek's conn.log, so that our records can be laid beside Zeek's and
// so that models of connection tables have the column they were trained on. The endpoint states and the
// letters are noted packet by packet while the flow is metered (internal/endpoint.h); here they are only
// read.
//
// All functions are pure. A record cut by a timeout is judged by its own packets: its continuation has seen
// no SYN and is therefore OTH.

// One of S0 S1 S2 S3 SF SH SHR REJ RSTO RSTR RSTOS0 RSTRH OTH (features specification, 13.2).
std::string_view conn_state(const FlowRecord& record);

// Whether an attempt came to nothing: S0 (no answer; of UDP too), REJ, RSTOS0, RSTRH, SH or SHR.
bool failed(const FlowRecord& record);

// The letters of the history: upper case from the initiator, each once for each side, at most kHistoryLength
// of them. A leading '^' says that the flow's first packet was an answer (SYN+ACK) and the direction was
// turned.
void append_history(std::string& out, const FlowRecord& record);
std::string history(const FlowRecord& record);

// KDD'99's `flag`: one of SF S0 S1 S2 S3 SH REJ RSTO RSTR RSTOS0 OTH (11.1). Whatever is not TCP is SF.
enum class KddFlag : std::uint8_t { sf, s0, s1, s2, s3, sh, rej, rsto, rstr, rstos0, oth };
std::string_view name(KddFlag flag);
KddFlag kdd_flag(const FlowRecord& record);

// The error classes of the rates #25-28 and #38-41.
bool is_serror(KddFlag flag);
bool is_rerror(KddFlag flag);

}  // namespace nidus::flow
