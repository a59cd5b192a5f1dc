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
//! the second field.
//!
//! The code it writes names the crate that holds the trait: `spacetime_core`, or whatever
//! `#[behaviour(crate = path)]` on the struct says.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Ident, Path, Type, parse_macro_input, parse_quote};

/// Makes a tree of the struct's fields, with paths into `spacetime_core`.
#[proc_macro_derive(NetworkBehaviour, attributes(behaviour))]
pub fn derive_in_core(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, parse_quote!(::spacetime_core))
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// The same with paths into `spacetime_network`, which exports it as `NetworkBehaviour`.
#[proc_macro_derive(FacadeNetworkBehaviour, attributes(behaviour))]
pub fn derive_in_facade(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, parse_quote!(::spacetime_network))
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// One field of the struct: a member of the tree.
struct Member<'a> {
    field: &'a Ident,
    ty: &'a Type,
    variant: Ident,
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
            generics
                .make_where_clause()
                .predicates
                .push(parse_quote!(#ty: #support::NetworkBehaviour));
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    let fields: Vec<_> = members.iter().map(|member| member.field).collect();
    let types: Vec<_> = members.iter().map(|member| member.ty).collect();
    let variants: Vec<_> = members.iter().map(|member| &member.variant).collect();
    let names: Vec<_> = variants.iter().map(|variant| variant.to_string()).collect();
    let event_doc = format!("What the behaviours of [`{name}`] tell the application.");
    let command_doc = format!("What the application tells the behaviours of [`{name}`].");
    let variant_docs: Vec<_> = fields
        .iter()
        .map(|field| format!("Of the field `{field}`."))
        .collect();
    let checks = generics
        .params
        .is_empty()
        .then(|| conflict_checks(&members, &support));

    Ok(quote! {
        #[doc = #event_doc]
        #vis enum #event #impl_generics #where_clause {
            #(#[doc = #variant_docs] #variants(<#types as #support::NetworkBehaviour>::Event),)*
        }

        #[doc = #command_doc]
        #vis enum #command #impl_generics #where_clause {
            #(#[doc = #variant_docs] #variants(<#types as #support::NetworkBehaviour>::Command),)*
        }

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #event #type_generics #where_clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    #(Self::#variants(event) => f.debug_tuple(#names).field(event).finish(),)*
                }
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #command #type_generics #where_clause {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    #(Self::#variants(command) => f.debug_tuple(#names).field(command).finish(),)*
                }
            }
        }

        #[automatically_derived]
        impl #impl_generics #support::NetworkBehaviour for #name #type_generics #where_clause {
            const CLAIMS: #support::Claims =
                #support::Claims::NONE #(.and(&<#types as #support::NetworkBehaviour>::CLAIMS))*;
            type Event = #event #type_generics;
            type Command = #command #type_generics;

            fn claims(&self) -> #support::Claims {
                #support::Claims::NONE #(.and(&#support::NetworkBehaviour::claims(&self.#fields)))*
            }

            #[inline]
            fn takes(&self, message_type: #support::MessageType, role: #support::Role) -> bool {
                #(#support::NetworkBehaviour::takes(&self.#fields, message_type, role))||*
            }

            fn admit(&self, candidate: &#support::Candidate<'_>) -> #support::Verdict {
                #support::Verdict::Accept
                    #(.and_then(|| #support::NetworkBehaviour::admit(&self.#fields, candidate)))*
            }

            fn on_input(
                &mut self,
                cx: &mut #support::Context<'_, Self::Event>,
                input: &#support::Input<'_>,
            ) -> ::core::result::Result<(), #support::Violation> {
                let now = cx.now();
                #(if input.is_for(&self.#fields, now) {
                    cx.with_child(#event::#variants, |cx| {
                        #support::NetworkBehaviour::on_input(&mut self.#fields, cx, input)
                    })?;
                })*
                ::core::result::Result::Ok(())
            }

            fn on_command(&mut self, cx: &mut #support::Context<'_, Self::Event>, command: Self::Command) {
                match command {
                    #(#command::#variants(command) => cx.with_child(#event::#variants, |cx| {
                        #support::NetworkBehaviour::on_command(&mut self.#fields, cx, command);
                    }),)*
                }
            }

            fn deadline(&self) -> ::core::option::Option<#support::Time> {
                [#(#support::NetworkBehaviour::deadline(&self.#fields)),*].into_iter().flatten().min()
            }
        }

        #checks
    })
}

/// For each two fields a constant that cannot be computed if their claims collide, with the span of
/// the second one, so that the error stands there.
fn conflict_checks(members: &[Member<'_>], support: &TokenStream) -> TokenStream {
    let mut checks = TokenStream::new();
    for (index, Member { ty, .. }) in members.iter().enumerate() {
        for Member { ty: before, .. } in &members[..index] {
            checks.extend(quote_spanned! {ty.span()=>
                const _: #support::Claims = <#before as #support::NetworkBehaviour>::CLAIMS
                    .and(&<#ty as #support::NetworkBehaviour>::CLAIMS);
            });
        }
    }
    checks
}

fn crate_path(input: &DeriveInput, default: Path) -> Result<Path, Error> {
    let mut path = default;
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("behaviour"))
    {
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
    let members: Vec<_> = fields
        .named
        .iter()
        .filter_map(|field| {
            let ident = field.ident.as_ref()?;
            Some(Member {
                field: ident,
                ty: &field.ty,
                variant: camel_case(ident),
            })
        })
        .collect();
    if members.is_empty() {
        return Err(Error::new_spanned(
            &input.ident,
            "a tree needs at least one behaviour",
        ));
    }
    Ok(members)
}

/// `peer_exchange` becomes `PeerExchange`.
fn camel_case(field: &Ident) -> Ident {
    let name = field.to_string();
    let words = name
        .trim_start_matches("r#")
        .split('_')
        .filter(|word| !word.is_empty());
    let name: String = words
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .chain(letters)
                .collect::<String>()
        })
        .collect();
    Ident::new(&name, field.span())
}
