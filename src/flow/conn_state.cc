#include "flow/conn_state.h"

#include "flow/internal/endpoint.h"

namespace nidus::flow {
namespace {

enum class State : std::uint8_t { s0, s1, s2, s3, sf, sh, shr, rej, rsto, rstr, rstos0, rstrh, oth };

std::string_view letters(const FlowRecord& record) { return {record.history, record.history_length}; }

bool turned(const FlowRecord& record) { return record.first_is_reverse && !record.continues; }

// The initiator sent a SYN and reset it before anything else that would have made it a connection.
bool reset_after_syn_alone(std::string_view history) {
  if (!history.starts_with('S')) return false;
  const std::size_t reset = history.find('R');
  return reset != std::string_view::npos &&
         history.substr(1, reset - 1).find_first_of("HAFGIQ") == std::string_view::npos;
}

State tcp_state(const FlowRecord& record) {
  const auto originator = static_cast<Endpoint>(record.forward().state);
  const auto responder = static_cast<Endpoint>(record.reverse().state);
  const auto inactive = [](Endpoint e) { return e == Endpoint::inactive || e == Endpoint::partial; };

  if (responder == Endpoint::reset) {
    const bool no_payload = record.forward().payload_bytes == 0 && record.reverse().payload_bytes == 0;
    if (originator == Endpoint::syn_sent || originator == Endpoint::syn_ack_sent ||
        (originator == Endpoint::reset && no_payload)) {
      return State::rej;
    }
    return inactive(originator) ? State::rstrh : State::rstr;
  }
  if (originator == Endpoint::reset) {
    if (!inactive(responder)) return State::rsto;
    return reset_after_syn_alone(letters(record)) ? State::rstos0 : State::oth;
  }
  if (originator == Endpoint::closed) {
    if (responder == Endpoint::closed) return State::sf;
    return inactive(responder) ? State::sh : State::s2;
  }
  if (responder == Endpoint::closed) return inactive(originator) ? State::shr : State::s3;
  if (originator == Endpoint::syn_sent && responder == Endpoint::inactive) return State::s0;
  if (originator == Endpoint::established && responder == Endpoint::established) return State::s1;
  return State::oth;
}

State state_of(const FlowRecord& record) {
  if (record.tuple.protocol == net::protocol::tcp) return tcp_state(record);
  if (record.tuple.protocol != net::protocol::udp) return State::oth;
  const bool originator = record.forward().packets > 0;
  const bool responder = record.reverse().packets > 0;
  if (originator) return responder ? State::sf : State::s0;
  return responder ? State::shr : State::oth;
}

}  // namespace

std::string_view conn_state(const FlowRecord& record) {
  switch (state_of(record)) {
    case State::s0:
      return "S0";
    case State::s1:
      return "S1";
    case State::s2:
      return "S2";
    case State::s3:
      return "S3";
    case State::sf:
      return "SF";
    case State::sh:
      return "SH";
    case State::shr:
      return "SHR";
    case State::rej:
      return "REJ";
    case State::rsto:
      return "RSTO";
    case State::rstr:
      return "RSTR";
    case State::rstos0:
      return "RSTOS0";
    case State::rstrh:
      return "RSTRH";
    case State::oth:
      return "OTH";
  }
  return "";
}

bool failed(const FlowRecord& record) {
  switch (state_of(record)) {
    case State::s0:
    case State::sh:
    case State::shr:
    case State::rej:
    case State::rstos0:
    case State::rstrh:
      return true;
    case State::s1:
    case State::s2:
    case State::s3:
    case State::sf:
    case State::rsto:
    case State::rstr:
    case State::oth:
      return false;
  }
  return false;
}

void append_history(std::string& out, const FlowRecord& record) {
  if (turned(record)) out += '^';
  out += letters(record);
}

std::string history(const FlowRecord& record) {
  std::string out;
  append_history(out, record);
  return out;
}

std::string_view name(KddFlag flag) {
  switch (flag) {
    case KddFlag::sf:
      return "SF";
    case KddFlag::s0:
      return "S0";
    case KddFlag::s1:
      return "S1";
    case KddFlag::s2:
      return "S2";
    case KddFlag::s3:
      return "S3";
    case KddFlag::sh:
      return "SH";
    case KddFlag::rej:
      return "REJ";
    case KddFlag::rsto:
      return "RSTO";
    case KddFlag::rstr:
      return "RSTR";
    case KddFlag::rstos0:
      return "RSTOS0";
    case KddFlag::oth:
      return "OTH";
  }
  return "";
}

KddFlag kdd_flag(const FlowRecord& record) {
  if (record.tuple.protocol != net::protocol::tcp) return KddFlag::sf;
  switch (tcp_state(record)) {
    case State::s0:
      return KddFlag::s0;
    case State::s1:
      return KddFlag::s1;
    case State::s2:
      return KddFlag::s2;
    case State::s3:
      return KddFlag::s3;
    case State::sf:
      return KddFlag::sf;
    case State::sh:
      return KddFlag::sh;
    case State::rej:
      return KddFlag::rej;
    case State::rsto:
      return KddFlag::rsto;
    case State::rstos0:
      return KddFlag::rstos0;
    // Two states that KDD does not know; the mapping is a convention.
    case State::rstr:
    case State::rstrh:
      return KddFlag::rstr;
    case State::shr:
    case State::oth:
      return KddFlag::oth;
  }
  return KddFlag::oth;
}

bool is_serror(KddFlag flag) {
  switch (flag) {
    case KddFlag::s0:
    case KddFlag::s1:
    case KddFlag::s2:
    case KddFlag::s3:
    case KddFlag::sh:
      return true;
    case KddFlag::sf:
    case KddFlag::rej:
    case KddFlag::rsto:
    case KddFlag::rstr:
    case KddFlag::rstos0:
    case KddFlag::oth:
      return false;
  }
  return false;
}

bool is_rerror(KddFlag flag) {
  switch (flag) {
    case KddFlag::rej:
    case KddFlag::rsto:
    case KddFlag::rstr:
    case KddFlag::rstos0:
      return true;
    case KddFlag::sf:
    case KddFlag::s0:
    case KddFlag::s1:
    case KddFlag::s2:
    case KddFlag::s3:
    case KddFlag::sh:
    case KddFlag::oth:
      return false;
  }
  return false;
}

}  // namespace nidus::flow
