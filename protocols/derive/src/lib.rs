//! `#[derive(NetworkBehaviour)]`: a tree of behaviours from a struct of them.
//!
//! For
//!
//! ```ignore
//! #[derive(NetworkBehaviour)]
//! struct Node {
//!     handshake: Handshake,
//!     ping: Ping,
//! }
//! ```
//!
//! it writes `enum NodeEvent { Handshake(..), Ping(..) }`, `enum NodeCommand { .. }`, and an
//! implementation that passes each input on to the fields it is for, in the order of the fields.
//! Two fields that claim the same message type in the same role, or two gates, fail the build at
//! the second field; where the tree is generic, once it is used with types that do.
//!
//! The code it writes names the crate that holds the trait: `spacetime_core`, or whatever
//! `#[behaviour(crate = path)]` on the struct says.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Fields, Generics, Ident, Path, Type, Visibility, parse_macro_input, parse_quote,
};

/// Makes a tree of the struct's fields, with paths into `spacetime_core`.
#[proc_macro_derive(NetworkBehaviour, attributes(behaviour))]
pub fn derive_in_core(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, parse_quote!(::spacetime_core)).unwrap_or_else(Error::into_compile_error).into()
}

/// The same with paths into `spacetime_network`, which exports it as `NetworkBehaviour`.
#[proc_macro_derive(FacadeNetworkBehaviour, attributes(behaviour))]
pub fn derive_in_facade(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, parse_quote!(::spacetime_network)).unwrap_or_else(Error::into_compile_error).into()
}

/// One field of the struct: a member of the tree.
struct Member<'a> {
    field: &'a Ident,
    ty: &'a Type,
    variant: Ident,
}

impl Member<'_> {
    /// `<Type as NetworkBehaviour>::item`. Errors about it stand at the type; lints know that it was
    /// not written there.
    fn item(&self, support: &TokenStream, item: &str) -> TokenStream {
        let ty = self.ty;
        let span = ty.span().resolved_at(Span::call_site());
        let item = Ident::new(item, span);
        quote_spanned!(span=> <#ty as #support::NetworkBehaviour>::#item)
    }

    /// What the type claims, by reference.
    fn claims(&self, support: &TokenStream) -> TokenStream {
        let claims = self.item(support, "CLAIMS");
        quote_spanned!(self.ty.span()=> &#claims)
    }
}

fn expand(input: &DeriveInput, default_crate: Path) -> Result<TokenStream, Error> {
    let crate_path = crate_path(input, default_crate)?;
    let support = quote!(#crate_path::derive_support);
    let members = members(input)?;
    let name = &input.ident;
    let vis = &input.vis;
    let event = format_ident!("{name}Event");
    let command = format_ident!("{name}Command");

    let mut generics = input.generics.clone();
    for Member { ty, .. } in &members {
        if !generics.params.is_empty() {
            generics.make_where_clause().predicates.push(parse_quote!(#ty: #support::NetworkBehaviour));
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    let fields: Vec<_> = members.iter().map(|member| member.field).collect();
    let variants: Vec<_> = members.iter().map(|member| &member.variant).collect();
    let items = |name| -> Vec<_> { members.iter().map(|member| member.item(&support, name)).collect() };
    let (events, commands, deadline) = (items("Event"), items("Command"), items("deadline"));
    let (claims_of, takes, admit) = (items("claims"), items("takes"), items("admit"));
    let (on_input, on_command) = (items("on_input"), items("on_command"));
    let claims = members.iter().map(|member| member.claims(&support));
    // No member is found by the place 255, so fields from there on are asked what they take.
    let places = (0..members.len()).map(|place| u8::try_from(place).unwrap_or(u8::MAX));
    let event_doc = format!("What the behaviours of [`{name}`] tell the application.");
    let event_enum = wrapper_enum(&event_doc, vis, &event, &generics, &members, &events);
    let command_doc = format!("What the application tells the behaviours of [`{name}`].");
    let command_enum = wrapper_enum(&command_doc, vis, &command, &generics, &members, &commands);
    let checks = conflict_checks(&members, &support);
    // What a generic tree claims is known where it is used: there `claims` fails the build.
    let check_now = generics
        .params
        .is_empty()
        .then(|| quote!(const _: #support::Claims = <#name as #support::NetworkBehaviour>::CLAIMS;));

    Ok(quote! {
        #event_enum
        #command_enum

        #[automatically_derived]
        impl #impl_generics #support::NetworkBehaviour for #name #type_generics #where_clause {
            const CLAIMS: #support::Claims = {
                #checks
                #support::Claims::NONE #(.and(#claims))*
            };
            type Event = #event #type_generics;
            type Command = #command #type_generics;

            fn claims(&self) -> #support::Claims {
                const { &Self::CLAIMS };
                #support::Claims::NONE #(.and(&#claims_of(&self.#fields)))*
            }

            #[inline]
            fn takes(&self, message_type: #support::MessageType, role: #support::Role) -> ::core::primitive::bool {
                #support::Claims::takes(const { &Self::CLAIMS }, message_type, role)
                    #(|| #takes(&self.#fields, message_type, role))*
            }

            fn admit(&self, candidate: &#support::Candidate<'_>) -> #support::Verdict {
                #support::Verdict::Accept #(.and_then(|| #admit(&self.#fields, candidate)))*
            }

            fn on_input(
                &mut self,
                cx: &mut #support::Context<'_, Self::Event>,
                input: &#support::Input<'_>,
            ) -> ::core::result::Result<(), #support::Violation> {
                let now = #support::Context::now(cx);
                let member = #support::Claims::member(const { &Self::CLAIMS }, input);
                #(if match member {
                    ::core::option::Option::Some(member) => member == #places,
                    ::core::option::Option::None => #support::Input::is_for(input, &self.#fields, now),
                } {
                    #support::Context::with_child(cx, #event::#variants, |cx| {
                        #on_input(&mut self.#fields, cx, input)
                    })?;
                })*
                ::core::result::Result::Ok(())
            }

            fn on_command(&mut self, cx: &mut #support::Context<'_, Self::Event>, command: Self::Command) {
                match command {
                    #(#command::#variants(command) => #support::Context::with_child(cx, #event::#variants, |cx| {
                        #on_command(&mut self.#fields, cx, command);
                    }),)*
                }
            }

            fn deadline(&self) -> ::core::option::Option<#support::Time> {
                let deadlines = [#(#deadline(&self.#fields)),*];
                ::core::iter::Iterator::min(::core::iter::Iterator::flatten(
                    ::core::iter::IntoIterator::into_iter(deadlines),
                ))
            }
        }

        #check_now
    })
}

/// An enum with a variant for each member, and its `Debug`.
fn wrapper_enum(
    doc: &str,
    vis: &Visibility,
    name: &Ident,
    generics: &Generics,
    members: &[Member<'_>],
    types: &[TokenStream],
) -> TokenStream {
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let variants: Vec<_> = members.iter().map(|member| &member.variant).collect();
    let names = variants.iter().map(|variant| variant.to_string());
    let docs = members.iter().map(|member| format!("Of the field `{}`.", member.field));
    quote! {
        #[doc = #doc]
        #vis enum #name #generics #where_clause {
            #(#[doc = #docs] #variants(#types),)*
        }

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #name #type_generics #where_clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    #(Self::#variants(inner) => ::core::fmt::DebugTuple::finish(::core::fmt::DebugTuple::field(
                        &mut ::core::fmt::Formatter::debug_tuple(f, #names),
                        inner,
                    )),)*
                }
            }
        }
    }
}

/// Compares the claims of each two fields. The error stands at the second one and names both.
fn conflict_checks(members: &[Member<'_>], support: &TokenStream) -> TokenStream {
    let mut checks = TokenStream::new();
    for (index, member) in members.iter().enumerate() {
        for before in &members[..index] {
            let (claims, claims_before) = (member.claims(support), before.claims(support));
            let fields = format!("`{}` and `{}`", before.field, member.field);
            let same_type = format!("{fields} claim the same message type in the same role");
            let two_gates = format!("{fields} are gates, and a tree has at most one");
            checks.extend(quote_spanned! {member.ty.span()=>
                <#support::Claims>::check_beside(#claims, #claims_before, #same_type, #two_gates);
            });
        }
    }
    checks
}

fn crate_path(input: &DeriveInput, default: Path) -> Result<Path, Error> {
    let mut path = default;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("behaviour")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("the only option is `crate = path`"));
            }
            path = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

fn members(input: &DeriveInput) -> Result<Vec<Member<'_>>, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "a tree of behaviours is a struct with one field for each",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "the fields need names: events and commands are named after them",
        ));
    };
    let mut members: Vec<Member<'_>> = Vec::with_capacity(fields.named.len());
    for field in &fields.named {
        if let Some(attribute) = field.attrs.iter().find(|it| it.path().is_ident("behaviour")) {
            return Err(Error::new_spanned(attribute, "fields have no options"));
        }
        let Some(ident) = &field.ident else {
            continue;
        };
        let variant = camel_case(ident)?;
        if let Some(before) = members.iter().find(|member| member.variant == variant) {
            let before = before.field;
            return Err(Error::new_spanned(
                ident,
                format!(
                    "events and commands of this field and of `{before}` would both be named `{variant}`"
                ),
            ));
        }
        members.push(Member { field: ident, ty: &field.ty, variant });
    }
    if members.is_empty() {
        return Err(Error::new_spanned(&input.ident, "a tree needs at least one behaviour"));
    }
    Ok(members)
}

/// `peer_exchange` becomes `PeerExchange`.
fn camel_case(field: &Ident) -> Result<Ident, Error> {
    let name = field.unraw().to_string();
    let name: String = name
        .split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
        })
        .collect();
    match syn::parse_str::<Ident>(&name) {
        Ok(mut variant) => {
            variant.set_span(field.span());
            Ok(variant)
        }
        Err(_) => Err(Error::new_spanned(
            field,
            format!("events and commands are named after the field, and `{name}` is no name"),
        )),
    }
}
