//! The manifest, made from the declaration and the types. Only `--manifest` comes here: schemas cost time and memory.

use drivers_sdk_protocol::manifest::{Function, Manifest, Need, Param};
use schemars::generate::SchemaSettings;

use crate::driver::{self, Driver, FunctionSchemas, Schemas};
use crate::process::sdk_version;
use crate::settings::{Description, Settings};
use crate::status::{Status, StatusDescription};

/// What the driver declares.
pub fn manifest<D: Driver>(emulator: bool) -> Manifest {
    let mut schemas = schemas();

    let declaration = D::DECLARATION;
    let mut types = D::schemas(&mut schemas);
    types.extend(declaration.interfaces.iter().flat_map(|interface| (interface.schemas)(&mut schemas)));
    let functions =
        declaration.functions().zip(types).map(|(function, types)| described(function, types)).collect();
    let mut description = Description::new(&mut schemas);
    D::Settings::describe(&mut description);
    let (settings, defaults) = description.finish();
    let mut description = StatusDescription::new(&mut schemas);
    D::Status::describe(&mut description);
    let status = description.finish();

    Manifest {
        manifest: 1,
        name: declaration.name.into(),
        module: declaration.module.into(),
        description: declaration.description.into(),
        kind: declaration.kind,
        port: declaration.port,
        udp: declaration.udp,
        makebreak: declaration.makebreak,
        hold_ms: declaration.hold_ms,
        uri: declaration.uri.map(Into::into),
        settings,
        defaults,
        status,
        functions,
        interfaces: declaration.interfaces.iter().map(|interface| interface.name.into()).collect(),
        requires: needs(declaration.requires),
        optional: needs(declaration.optional),
        emulator,
        emulator_messages: emulator,
        sdk: sdk_version(),
    }
}

/// Every schema stands for itself: there is no document around it for `$ref` to point into.
pub(crate) fn schemas() -> Schemas {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    Schemas {
        input: settings.clone().for_deserialize().into_generator(),
        output: settings.for_serialize().into_generator(),
    }
}

fn needs(needs: &[driver::Need]) -> Vec<Need> {
    let need = |need: &driver::Need| match need {
        driver::Need::Module(name) => Need::Module((*name).into()),
        driver::Need::Interface(name) => Need::Interface((*name).into()),
    };
    needs.iter().map(need).collect()
}

/// A function with its schemas.
pub(crate) fn described(function: &driver::Function, types: FunctionSchemas) -> Function {
    let params = function.params.iter().zip(types.params).map(|(param, schema)| Param {
        name: param.name.into(),
        schema: schema.to_value(),
        optional: param.optional,
    });
    Function {
        name: function.name.into(),
        description: function.description.into(),
        security: function.security,
        webhook: function.webhook,
        params: params.collect(),
        returns: types.returns.to_value(),
    }
}
