#pragma once

#include <cstdint>
#include <string>

#include "flow/record.h"

namespace nidus::flow {

// Community ID, version 1 (github.com/corelight/community-id-spec): the same text for both directions of a
// conversation, in every tool that knows it, and so the key by which our records are joined with those of
// Zeek, Suricata and others. One SHA-1 for each call, so it is only computed where somebody asks.
//
// All functions are pure. `seed` separates the ids of different sites; all tools to be joined must use the
// same.

// Of a tuple. TCP, UDP and SCTP hash their ports, other protocols none. ICMP tuples carry type and answering
// type, or type and code | 0x8000 for one-way messages, as the native profile makes them.
void append_community_id(std::string& out, const net::FiveTuple& tuple, std::uint16_t seed = 0);
std::string community_id(const net::FiveTuple& tuple, std::uint16_t seed = 0);

// Of an ICMP message as it stands in the packet that went from tuple.source to tuple.destination; the ports
// of the tuple are ignored.
void append_icmp_community_id(std::string& out, const net::FiveTuple& tuple, std::uint8_t type,
                              std::uint8_t code, std::uint16_t seed = 0);

// Of a record of any profile: those whose tools leave an ICMP tuple's ports 0 are hashed by type and code of
// the flow's first packet.
void append_community_id(std::string& out, const FlowRecord& record, std::uint16_t seed = 0);
std::string community_id(const FlowRecord& record, std::uint16_t seed = 0);

}  // namespace nidus::flow
