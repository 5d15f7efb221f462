#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "store/internal/database.h"
#include "store/records.h"

namespace nidus::store {

// The part of a statement after WHERE, with what its question marks stand for. Nothing that came from outside
// is ever part of the text.
class Condition {
 public:
  using Value = std::variant<std::int64_t, double, std::string, Address>;

  template <class... Values>
  void require(std::string_view sql, Values... values) {
    sql_ += sql_.empty() ? " WHERE " : " AND ";
    sql_ += sql;
    (values_.emplace_back(std::move(values)), ...);
  }

  const std::string& sql() const { return sql_; }
  // Binds all values, the first as parameter `at`; returns the parameter after the last. The condition must
  // outlive the statement's steps.
  int bind(Statement& statement, int at) const {
    for (const auto& value : values_) {
      if (const auto* address = std::get_if<Address>(&value)) {
        statement.bind(at++, std::span<const std::uint8_t>(*address));
      } else if (const auto* text = std::get_if<std::string>(&value)) {
        statement.bind(at++, *text);
      } else if (const auto* number = std::get_if<double>(&value)) {
        statement.bind(at++, *number);
      } else {
        statement.bind(at++, std::get<std::int64_t>(value));
      }
    }
    return at;
  }

 private:
  std::string sql_;
  std::vector<Value> values_;
};

Condition condition_of(const AlertQuery& query);
Condition condition_of(const VerdictQuery& query);

}  // namespace nidus::store
