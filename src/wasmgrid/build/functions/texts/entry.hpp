// What wasmgrid puts before a C++ file so that one of its functions can be called: docs/functions.md.
// Templates over the function's type find out what its arguments are.
#pragma once
#pragma clang system_header

#include <array>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "wasmgrid_call.h"

namespace wasmgrid {

// What a type is called, how it is read, how it is written. `Kept` is what holds an argument during a call.
template <typename T, typename = void>
struct type {
    static constexpr bool known = false;
};

template <typename T>
constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
                            !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t> &&
                            !std::is_same_v<T, __int128> && !std::is_same_v<T, unsigned __int128>;

template <typename T>
std::string name_of_integer() {
    std::string sign = std::is_signed_v<T> ? "" : "unsigned ";
    if (sizeof(T) == 1) return std::is_signed_v<T> ? "signed char" : "unsigned char";
    if (sizeof(T) == 2) return sign + "short";
    if (std::is_same_v<T, int> || std::is_same_v<T, unsigned>) return sign + "int";
    if (std::is_same_v<T, long> || std::is_same_v<T, unsigned long>) return sign + "long";
    return sign + "long long";
}

template <typename T>
struct type<T, std::enable_if_t<is_integer<T>>> {
    static constexpr bool known = true;
    using Kept = T;
    static std::string name() { return name_of_integer<T>(); }
    static bool read(T &value) {
        if constexpr (std::is_signed_v<T>) {
            long long wide = 0;
            bool good = wasmgrid_signed(&wide, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
            value = static_cast<T>(wide);
            return good;
        } else {
            unsigned long long wide = 0;
            bool good = wasmgrid_unsigned(&wide, std::numeric_limits<T>::max());
            value = static_cast<T>(wide);
            return good;
        }
    }
    static void write(T value) {
        if constexpr (std::is_signed_v<T>)
            wasmgrid_put_signed(value);
        else
            wasmgrid_put_unsigned(value);
    }
};

template <>
struct type<bool> {
    static constexpr bool known = true;
    using Kept = bool;
    static std::string name() { return "bool"; }
    static bool read(bool &value) { return wasmgrid_bool(&value); }
    static void write(bool value) { value ? wasmgrid_put("true", 4) : wasmgrid_put("false", 5); }
};

template <>
struct type<char> {
    static constexpr bool known = true;
    using Kept = char;
    static std::string name() { return "char"; }
    static bool read(char &value) {
        const char *text = nullptr;
        std::size_t size = 0;
        bool good = wasmgrid_text(&text, &size) && size == 1;
        value = good ? *text : '\0';
        return good;
    }
    static void write(char value) { wasmgrid_put_text(&value, 1); }
};

template <typename T>
struct type<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static constexpr bool known = true;
    using Kept = T;
    static std::string name() { return sizeof(T) == 4 ? "float" : sizeof(T) == 8 ? "double" : "long double"; }
    static bool read(T &value) {
        if constexpr (sizeof(T) == 4) {
            return wasmgrid_float32(&value);
        } else {
            double wide = 0;
            bool good = wasmgrid_float(&wide);
            value = wide;
            return good;
        }
    }
    static void write(T value) {
        if constexpr (sizeof(T) == 4)
            wasmgrid_put_float32(value);
        else
            wasmgrid_put_float(static_cast<double>(value));
    }
};

template <>
struct type<std::string> {
    static constexpr bool known = true;
    using Kept = std::string;
    static std::string name() { return "std::string"; }
    static bool read(std::string &value) {
        const char *text = nullptr;
        std::size_t size = 0;
        if (!wasmgrid_text(&text, &size)) return false;
        value.assign(text, size);
        return true;
    }
    static void write(const std::string &value) { wasmgrid_put_text(value.data(), value.size()); }
};

template <>
struct type<std::string_view> {
    static constexpr bool known = true;
    using Kept = std::string_view;
    static std::string name() { return "std::string_view"; }
    static bool read(std::string_view &value) {
        const char *text = nullptr;
        std::size_t size = 0;
        if (!wasmgrid_text(&text, &size)) return false;
        value = std::string_view(text, size);
        return true;
    }
    static void write(std::string_view value) { wasmgrid_put_text(value.data(), value.size()); }
};

template <>
struct type<const char *> {
    static constexpr bool known = true;
    using Kept = const char *;
    static std::string name() { return "const char *"; }
    static bool read(const char *&value) {
        std::size_t size = 0;
        return wasmgrid_text(&value, &size) && std::string_view(value).size() == size;  // a NUL would end it early
    }
    static void write(const char *value) {
        value == nullptr ? wasmgrid_put("null", 4) : wasmgrid_put_text(value, std::string_view(value).size());
    }
};

template <typename T>
struct type<std::optional<T>, std::enable_if_t<type<T>::known>> {
    static constexpr bool known = true;
    using Kept = std::optional<T>;
    static std::string name() { return "std::optional<" + type<T>::name() + ">"; }
    static bool read(Kept &value) { return wasmgrid_literal("null") || type<T>::read(value.emplace()); }
    static void write(const Kept &value) { value ? type<T>::write(*value) : wasmgrid_put("null", 4); }
};

template <typename List>
void write_list(const List &list) {
    wasmgrid_put("[", 1);
    bool first = true;
    for (const auto &item : list) {
        if (!first) wasmgrid_put(",", 1);
        first = false;
        type<typename List::value_type>::write(item);
    }
    wasmgrid_put("]", 1);
}

template <typename T>
struct type<std::vector<T>, std::enable_if_t<type<T>::known>> {
    static constexpr bool known = true;
    using Kept = std::vector<T>;
    static std::string name() { return "std::vector<" + type<T>::name() + ">"; }
    static bool read(Kept &value) {
        if (!wasmgrid_eat('[')) return false;
        if (wasmgrid_eat(']')) return true;
        do {
            T item{};
            if (!type<T>::read(item)) return false;
            value.push_back(std::move(item));
        } while (wasmgrid_eat(','));
        return wasmgrid_eat(']');
    }
    static void write(const Kept &value) { write_list(value); }
};

template <typename T, std::size_t N>
struct type<std::array<T, N>, std::enable_if_t<type<T>::known>> {
    static constexpr bool known = true;
    using Kept = std::array<T, N>;
    static std::string name() { return "std::array<" + type<T>::name() + ", " + std::to_string(N) + ">"; }
    static bool read(Kept &value) {
        bool good = wasmgrid_eat('[');
        for (std::size_t i = 0; good && i < N; i++) good = (i == 0 || wasmgrid_eat(',')) && type<T>::read(value[i]);
        return good && wasmgrid_eat(']');
    }
    static void write(const Kept &value) { write_list(value); }
};

template <typename... T>
struct several {
    static constexpr bool known = (type<T>::known && ...);
    static std::string name(std::string of) {
        bool first = true;
        ((of += (first ? "" : ", ") + type<T>::name(), first = false), ...);
        return of + ">";
    }
    template <typename Tuple>
    static bool read(Tuple &value) {
        bool good = wasmgrid_eat('['), first = true;
        std::apply([&](auto &...item) { ((good = good && (first || wasmgrid_eat(',')) && type<T>::read(item), first = false), ...); }, value);
        return good && wasmgrid_eat(']');
    }
    template <typename Tuple>
    static void write(const Tuple &value) {
        bool first = true;
        wasmgrid_put("[", 1);
        std::apply([&](const auto &...item) { ((first ? void() : wasmgrid_put(",", 1), first = false, type<T>::write(item)), ...); }, value);
        wasmgrid_put("]", 1);
    }
};

template <typename A, typename B>
struct type<std::pair<A, B>, std::enable_if_t<several<A, B>::known>> : several<A, B> {
    using Kept = std::pair<A, B>;
    static std::string name() { return several<A, B>::name("std::pair<"); }
};

template <typename... T>
struct type<std::tuple<T...>, std::enable_if_t<several<T...>::known>> : several<T...> {
    using Kept = std::tuple<T...>;
    static std::string name() { return several<T...>::name("std::tuple<"); }
};

// Named so that the compiler's refusal says which type of which argument it is.
template <typename T>
struct parameter {
    using Plain = std::remove_cv_t<std::remove_reference_t<T>>;
    static_assert(type<Plain>::known, "wasmgrid takes no such parameter");
    using Kept = Plain;
};
template <typename T>
struct result {
    static_assert(std::is_void_v<T> || type<T>::known, "wasmgrid takes no such result");
};

template <typename T>
std::string shown_as() {
    return type<std::remove_cv_t<std::remove_reference_t<T>>>::name();
}

template <typename R, typename... A, std::size_t... I>
void perform(R (*function)(A...), std::index_sequence<I...>) {
    constexpr unsigned count = sizeof...(A);
    std::tuple<typename parameter<A>::Kept...> kept{};
    bool good = ((wasmgrid_open(I, count) &&
                  wasmgrid_close(type<typename parameter<A>::Kept>::read(std::get<I>(kept)), I, shown_as<A>().c_str())) && ...);
    if (!good || !wasmgrid_end(count)) return;
    if constexpr (std::is_void_v<R>) {
        function(std::forward<A>(std::get<I>(kept))...);
        wasmgrid_answer('=');
        wasmgrid_put("null", 4);
    } else {
        using Plain = std::remove_cv_t<std::remove_reference_t<R>>;
        R &&made = function(std::forward<A>(std::get<I>(kept))...);
        wasmgrid_answer('=');
        type<Plain>::write(made);
    }
}

template <typename R, typename... A>
void perform(R (*function)(A...)) {
    (void)result<std::remove_cv_t<std::remove_reference_t<R>>>{};
    ((void)parameter<A>{}, ...);
#if __cpp_exceptions
    try {
        perform(function, std::index_sequence_for<A...>{});
    } catch (const std::exception &error) {
        wasmgrid_answer('!');
        std::string_view text = error.what();
        wasmgrid_put(text.data(), text.size());
    } catch (...) {
        wasmgrid_answer('!');
        std::string_view text = "an exception that is no std::exception";
        wasmgrid_put(text.data(), text.size());
    }
#else
    perform(function, std::index_sequence_for<A...>{});
#endif
}

template <typename R, typename... A>
std::string describe(R (*)(A...), const char *name, const char *const *names, unsigned named) {
    std::string made = std::string(name) + "(";
    unsigned place = 0;
    ((made += (place ? ", " : "") + (named == sizeof...(A) ? names[place] + std::string(": ") : "") + shown_as<A>(), place++), ...);
    if constexpr (std::is_void_v<R>)
        return made + ")";
    else
        return made + ") -> " + shown_as<R>();
}

template <typename F>
const char *described(F *function, const char *name, const char *const *names, unsigned named) {
    static const std::string made = describe(function, name, names, named);
    return made.c_str();
}

}  // namespace wasmgrid
