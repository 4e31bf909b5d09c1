//! The macro that declares settings: once each, everything else follows.

/// Declares a struct of settings: `name: type = default, kind, applies, unit, "doc";` under its group.
macro_rules! settings {
    ($(#[$about:meta])* $all:ident $($group:literal { $($name:ident : $type:ty = $default:expr, $kind:expr, $applies:ident, $unit:literal, $doc:literal;)* })*) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $all { $($(#[doc = $doc] pub $name: $type,)*)* }

        impl Default for $all {
            fn default() -> Self { Self { $($($name: $default,)*)* } }
        }

        impl $all {
            /// Every setting, in the order of the form.
            pub const ALL: &'static [$crate::settings::Setting] = &[$($($crate::settings::Setting {
                name: stringify!($name), group: $group, doc: $doc, unit: $unit, kind: $kind,
                optional: <$type as $crate::settings::value::Field>::OPTIONAL,
                applies: $crate::settings::Applies::$applies,
            },)*)*];

            /// The value of a setting, by its declared name.
            pub fn get(&self, name: &str) -> Option<$crate::settings::Value> {
                match name {
                    $($(stringify!($name) => Some($crate::settings::value::Field::get(&self.$name)),)*)*
                    _ => None,
                }
            }

            /// The declaration of `name`; underscores and dashes are the same.
            ///
            /// # Errors
            /// [`SettingError::Unknown`](crate::settings::SettingError), with the nearest known name.
            pub fn setting(
                name: &str,
            ) -> Result<&'static $crate::settings::Setting, $crate::settings::SettingError> {
                let wanted = name.replace('-', "_");
                let found = Self::ALL.iter().find(|s| s.name == wanted);
                found.ok_or_else(|| $crate::settings::SettingError::unknown(name, Self::ALL))
            }

            /// Reads `text` by the rules of the setting and sets it. Says what it was before.
            ///
            /// # Errors
            /// An unknown name, or text that breaks the setting's rule.
            pub fn assign(
                &mut self,
                name: &str,
                text: &str,
            ) -> Result<$crate::settings::Value, $crate::settings::SettingError> {
                let setting = Self::setting(name)?;
                let value = setting.parse(text)?;
                self.put(setting, value)
            }

            /// Sets a checked value. Says what it was before.
            ///
            /// # Errors
            /// A value that breaks the setting's rule.
            pub fn put(
                &mut self,
                setting: &$crate::settings::Setting,
                value: $crate::settings::Value,
            ) -> Result<$crate::settings::Value, $crate::settings::SettingError> {
                setting.check(&value)?;
                let old = self.get(setting.name).unwrap_or($crate::settings::Value::Unset);
                match setting.name {
                    $($(stringify!($name) => $crate::settings::value::Field::put(&mut self.$name, value),)*)*
                    _ => {}
                }
                Ok(old)
            }
        }
    };
}
